"""Serve the demo site on this machine: `python -m deployments.demo.serve [--port 8480]`."""

import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn

from deployments.demo.site import OriginState, edge, origin
from roundsman.cli.parser import CommandParser, whole_number


class _Server(uvicorn.Server):
    """Says where it serves as soon as it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"serving http://127.0.0.1:{port}", flush=True)


def main(words: list[str] | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM, which end it cleanly."""
    parser = CommandParser(prog="python -m deployments.demo.serve", description=__doc__)
    parser.add_argument("--port", type=whole_number, default=8480, help="0 for any free one (default: %(default)s)")
    parser.add_argument("--releases", type=Path, metavar="FOLDER", help="the releases, one of which is FOLDER/current")
    args = parser.parse_args(words)
    # The edge writes its own Date; a second one, or a banner, would be the server's and not the site's.
    config = uvicorn.Config(
        edge(origin(OriginState(releases=args.releases))),
        host="127.0.0.1",
        port=args.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    # When it has shut down, uvicorn raises the signal once more: this is what then happens.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt):
        _Server(config).run()


if __name__ == "__main__":
    main()
