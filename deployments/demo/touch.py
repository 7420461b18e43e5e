"""Change an article at the demo's origin: `python -m deployments.demo.touch URL`. A purge can then be proven on it."""

import sys

import httpx

from roundsman.cli.parser import CommandParser


def main(words: list[str] | None = None) -> int:
    """Raise the article's revision; 0 when the origin says that it did."""
    parser = CommandParser(prog="python -m deployments.demo.touch", description=__doc__)
    parser.add_argument("url", help="such as http://127.0.0.1:8480/articles/tomatoes")
    url = f"{parser.parse_args(words).url}/touch"
    try:
        status = httpx.post(url, timeout=10).status_code
    except (httpx.RequestError, httpx.InvalidURL) as trouble:
        print(f"{url} gave no answer ({type(trouble).__name__}); is the demo site up?", file=sys.stderr)
        return 1
    if status == 204:
        return 0
    print(f"{url} answered {status}, wanted 204; is it an article of the demo site?", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
