"""A server that answers late and says how late: `python -m benchmarks.sleeper` prints its port.

`/sleep/50` answers after 50 ms; its `x-slept` tells the milliseconds that really passed between reading the request and
writing the answer, so that a busy machine does not count against whoever measures. Any other path answers at once.
"""

import asyncio
import time

_BODY = b"x" * 2048


class Sleeper(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        read = time.perf_counter()
        path = data.split(b" ", 2)[1]
        if path.startswith(b"/sleep/"):
            asyncio.get_running_loop().call_later(int(path[7:]) / 1000, self.answer, read)
        else:
            self.answer(read)

    def answer(self, read: float) -> None:
        slept = (time.perf_counter() - read) * 1000
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(_BODY)}\r\nX-Slept: {slept:.3f}\r\n\r\n"
        self.transport.write(head.encode() + _BODY)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sleeper, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
