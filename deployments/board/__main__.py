"""`roundsman board` serves the board, to this machine alone unless `--host` names another address."""

import os
import sys

import uvicorn

from deployments.board.app import VARIABLE, create, is_loopback
from deployments.board.connections import BACKLOG, BoundedProtocol
from roundsman.cli.output import say
from roundsman.cli.parser import CommandParser, port_number

WRONG_INPUT = 3


def main(argv: list[str] | None = None) -> int:
    """Serve until it is stopped. Exit codes: 0 stopped, 3 it was called in a way that would not be safe."""
    parser = CommandParser(prog="roundsman board", description="Serve the board.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=port_number, default=8481)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else 0
    if not is_loopback(args.host) and not os.environ.get(VARIABLE, "").strip():
        says = f"--host: saw {args.host}, which others can reach; set {VARIABLE} to a long secret, or use 127.0.0.1"
        say(says, error=True)
        return WRONG_INPUT
    uvicorn.run(
        create(),
        host=args.host,
        port=args.port,
        http=BoundedProtocol,
        ws="none",
        backlog=BACKLOG,
        log_level="warning",
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
