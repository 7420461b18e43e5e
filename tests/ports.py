"""Ports for servers that a test starts."""

import secrets
import socket

#: Below those that the system gives to whoever connects somewhere, and above those of known services.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """One that nobody listens at; nor is it given to a connection before its server has started."""
    for _ in range(100):
        port = secrets.choice(PORTS)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise OSError(f"saw 100 ports from {PORTS.start} to {PORTS.stop} taken, wanted a free one; end what listens there")
