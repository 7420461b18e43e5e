"""Slow connections to the board are cut off, and do not keep it from answering others."""

import asyncio
import os
import resource
import socket
import sys
import time
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
import uvicorn

from deployments.board import connections
from deployments.board.connections import BACKLOG, BoundedProtocol
from tests.ports import free_port
from tests.service import ROOT, running, until

LARGE = b"x" * 20_000_000


async def app(scope, receive, send):
    """Answers at once; below /slow after a while, below /large with more than a socket takes, else with the body."""
    if scope["type"] != "http":
        return
    body = b"well"
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    elif scope["path"] == "/large":
        body = LARGE
    elif scope["method"] == "POST":
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served():
    """A server, its port, and what opens connections to it; they are closed in the end."""
    writers = []

    async def opened(sent=b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(sent)
        return reader, writer

    config = uvicorn.Config(app, http=BoundedProtocol, backlog=BACKLOG, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield port, server, opened
        finally:
            for writer in writers:
                writer.transport.abort()
            server.should_exit = True
            await task


async def becomes(condition, within=5):
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a server's own state wakes nobody
            await asyncio.sleep(0.02)


async def ended(reader, within=5):
    """Whether the other side ends a connection, and what it had said."""
    said = b""
    try:
        async with asyncio.timeout(within):
            while part := await reader.read(65536):
                said += part
    except ConnectionError:
        return True, said
    except TimeoutError:
        return False, said
    return True, said


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "REST_SECONDS", 0.5)


HEAD = b"GET /a HTTP/1.1\r\nHost: b\r\n"
POST = b"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),
        (b"", b"G"),
        (HEAD, b"X-A: b\r\n"),
        (POST, b""),
        (POST, b"a"),
        # One that is answered before its body is there, and goes on sending it.
        (POST.replace(b"POST /", b"POST /slow"), b"a"),
        # A second request after a first one.
        (HEAD + b"\r\n", b"G"),
    ],
    ids=["nothing", "a drip", "a head", "no body", "a body", "a body after the answer", "a second head"],
)
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(quick, first, drip):
    async with served() as (_, _, opened):
        reader, writer = await opened(first)
        asking = asyncio.create_task(ended(reader))
        while not asking.done():
            writer.write(drip)
            await asyncio.sleep(0.05)
        assert (await asking)[0]


async def test_an_answer_that_nobody_reads_is_cut_off(quick):
    async with served() as (_, server, opened):
        _, writer = await opened(b"GET /large HTTP/1.1\r\nHost: b\r\n\r\n")
        writer.transport.pause_reading()
        await becomes(lambda: server.server_state.connections)
        await becomes(lambda: not server.server_state.connections)


async def test_each_request_of_a_connection_has_its_own_time(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.5)
    monkeypatch.setattr(connections, "REST_SECONDS", 1.5)
    async with served() as (port, server, _), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert ["well"] * 3 == [(await client.get("/slow")).text for _ in range(3)]
        assert 1 == len(server.server_state.connections)


@pytest.mark.parametrize("first", [b"", HEAD, POST, b"GET /large HTTP/1.1\r\nHost: b\r\n\r\n"])
async def test_whoever_waits_longest_makes_room(monkeypatch, first):
    monkeypatch.setattr(connections, "room", lambda: 10)
    async with served() as (port, server, opened), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        slow = [await opened(first) for _ in range(30)]
        assert "well" == (await client.get("/", timeout=5)).text
        assert len(server.server_state.connections) <= 10
        assert (await ended(slow[0][0]))[0]


async def test_a_request_that_is_worked_on_is_not_cut_off_for_a_new_one(monkeypatch):
    monkeypatch.setattr(connections, "room", lambda: 2)
    async with served() as (_, server, opened):
        asked = b"GET /slow HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"
        working = [await opened(asked) for _ in range(2)]
        await becomes(lambda: [one for one in server.server_state.connections if one.at_work][1:])
        refused, _ = await opened(asked)
        assert (True, b"") == await ended(refused)
        assert [True, True] == [(await ended(reader))[1].endswith(b"well") for reader, _ in working]


@pytest.mark.parametrize(
    ("files", "most"), [(20_000, 256), (1024, 256), (100, 50), (4, 8), (resource.RLIM_INFINITY, 256)]
)
def test_there_is_room_for_half_of_the_files_that_may_be_open(monkeypatch, files, most):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most == connections.room()


@pytest.mark.slow
def test_the_board_answers_while_1200_connections_are_slow(tmp_path):
    """With the files that a process may open as a rule."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this machine lets a process open too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    port = free_port()
    command = ["bash", "-c", f"ulimit -n 1024; exec {sys.executable} -m deployments.board --port {port}"]
    environment = {**os.environ, "ROUNDSMAN_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "ROUNDSMAN_BOARD_TOKEN": ""}

    def health():
        begun = time.monotonic()
        code = httpx.get(f"http://127.0.0.1:{port}/health", timeout=10).status_code
        return code, time.monotonic() - begun

    with running(command, environment, tmp_path / "board.log", cwd=ROOT), ExitStack() as stack:
        until("the board answers", lambda: health()[0])
        slow = []
        for number in range(1200):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            one.sendall(HEAD if number % 2 else POST)
            slow.append(one)
        assert all(code in {200, 503} and seconds < 5 for code, seconds in (health() for _ in range(5)))
