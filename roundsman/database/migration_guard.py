"""What lets a rehearsal's command reach the copy and nothing else, and writes down what else it tried.

The command runs under `migration_confine`, which hands over the sockets that listen inside. All that comes to them is
answered here: names with addresses of the loopback, so that what follows the look-up is seen as well, and PostgreSQL's
first message, which says the database. Only the copy's is passed on.
"""

import asyncio
import ctypes
import errno
import fcntl
import json
import os
import re
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from roundsman.database.copied_database import connected
from roundsman.database.rules.migration_reach import ReachAttempt

_CONFINE = Path(__file__).with_name("migration_confine.py")
#: Of PostgreSQL's first message, "Message Formats": requests for TLS and GSSAPI, and a cancellation.
_ASKS_TLS, _ASKS_GSSAPI, _CANCELS = 80877103, 80877104, 80877102
#: The only major version of the protocol in which a database is named as it is read here.
_PROTOCOL = 3
#: AuthenticationSASL.
_SASL = 10
#: In an ErrorResponse: the code of a right that is missing, and the message; the routine at its end is RAISE's or not.
_INSUFFICIENT_PRIVILEGE = b"\0C42501\0M"
_DENIED = re.compile(rb"\0C42501\0M([^\0]{1,300})\0(?!(?:[A-Za-z][^\0]*\0)*?Rexec_stmt_raise\0)")
#: Bytes of a first message, at most; the server's own bound.
_FIRST_MESSAGE_BYTES = 10_000
#: Seconds for a first message, and to connect to the server.
_FIRST_MESSAGE_SECONDS, _CONNECT_SECONDS = 60.0, 10.0
#: PostgreSQL's default port.
POSTGRESQL_PORT = 5432
#: linux/seccomp.h: SECCOMP_IOCTL_NOTIF_RECV, _SEND and _ID_VALID, and the size of what is received.
_RECEIVE, _SEND, _STILL_WAITS, _NOTIFICATION_BYTES = 0xC0502100, 0xC0182101, 0x40082102, 80
_PIDFD_GETFD = 438
_ADDRESS_BYTES = 128
#: Attempts that are kept: more say nothing more.
_MAX_ATTEMPTS = 200
_IN_OPEN = 0x20
#: What the C library and loggers ask of by themselves: refused like any other, and no attempt at anything.
_SYSTEM_SOCKETS = ("/var/run/nscd/", "/run/nscd/", "/run/systemd/", "/run/dbus/", "/var/run/dbus/", "/dev/log")

libc = ctypes.CDLL(None, use_errno=True)


class GuardError(Exception):
    """The command could not be confined, and was not run; says why."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A PostgreSQL server, as libpq found it: a host or the folder of its socket, and whether TLS is spoken."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """None for a connection in the clear."""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a command may reach."""

    database: str = ""
    """The copy's name on PostgreSQL."""
    user: str = ""
    upstream: Upstream | None = None
    ports: tuple[int, ...] = ()
    """On which PostgreSQL is answered; the copy's comes first."""
    writable: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()
    """Folders in those that may be written."""
    hidden: tuple[Path, ...] = ()
    """Files in whose place there is an empty one."""
    live_names: frozenset[str] = frozenset()
    """Of the live database's server."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """How a made-up name is called in a report."""


def begun_in(cwd: Path, words: Sequence[str]) -> list[str]:
    """What runs a program in a folder, and does not confine it."""
    return _begin({"confine": False, "cwd": str(cwd)}, words)


def _begin(order: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(_CONFINE), json.dumps(order), *words]


@dataclass(slots=True)
class RehearsalGuard:
    """A confinement for one command at a time."""

    reach: Reach
    folder: Path
    """For the command: it may write there."""
    _own: Path
    attempts: list[ReachAttempt] = field(default_factory=list)
    refused: str = ""
    """Why the command could not be confined."""
    _names: dict[str, str] = field(default_factory=dict)
    """By the address that was given for them."""

    def argv(self, cwd: Path, words: Sequence[str]) -> list[str]:
        """What runs a program, given with its full path, where it can reach the copy only."""
        order = {
            "confine": True,
            "cwd": str(cwd),
            "control": str(self._own / "control"),
            "ports": self.reach.ports,
            "writable": [str(self.folder), *map(str, self.reach.writable)],
            "read_only": [str(folder) for folder in self.reach.read_only],
            "hidden": [str(file) for file in self.reach.hidden],
            "decoy": str(self.decoy),
            "resolver": str(self._own / "resolv.conf"),
            "devices": str(self._own / "dev"),
        }
        return _begin(order, words)

    def saw(self, attempt: ReachAttempt) -> None:
        """Write down an attempt, once."""
        if attempt not in self.attempts and len(self.attempts) < _MAX_ATTEMPTS:
            self.attempts.append(attempt)

    async def watch(self, control: socket.socket, ready: threading.Event, stop: asyncio.Event) -> None:
        """Answer whatever comes, until stopped."""
        loop = asyncio.get_running_loop()
        opened: list[Any] = [control]
        tasks: set[asyncio.Task[None]] = set()
        watched = _watch_file(self.decoy)
        loop.add_reader(watched, self._decoy_opened, watched)
        accepting = asyncio.create_task(self._confined(control, opened, tasks))
        ready.set()
        try:
            await stop.wait()
        finally:
            for task in (accepting, *tasks):
                task.cancel()
            await asyncio.gather(accepting, *tasks, return_exceptions=True)
            loop.remove_reader(watched)
            os.close(watched)
            for one in opened:
                with suppress(OSError):
                    loop.remove_reader(one)
                one.close()

    async def _confined(self, control: socket.socket, opened: list[Any], tasks: set[asyncio.Task[None]]) -> None:
        """Take over the sockets of each command that was confined."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(control)
            with connection:
                await _readable(connection)
                said, descriptors, _, _ = socket.recv_fds(connection, 1000, 32)
            if not descriptors:
                self.refused = said.decode("utf-8", "replace") or "it ended before it was confined"
                continue
            asking, names, *inside = descriptors
            for number in descriptors:
                os.set_blocking(number, False)
            calls, resolver = os.fdopen(asking, "rb", buffering=0), socket.socket(fileno=names)
            opened += [calls, resolver]
            loop.add_reader(calls, self._asked, calls)
            loop.add_reader(resolver, self._look_up, resolver)
            for number in inside:
                listener = socket.socket(fileno=number)
                opened.append(listener)
                tasks.add(asyncio.create_task(self._serve(listener, tasks)))

    @property
    def decoy(self) -> Path:
        """Stands in the place of the live database's file; each opening of it is reported."""
        return self._own / "decoy"

    def _called(self, name: str) -> str:
        return self.reach.aliases.get(name, name)

    # Files

    def _decoy_opened(self, watched: int) -> None:
        os.read(watched, 4096)
        self.saw(ReachAttempt("opened", "the file of the live database", database=True))

    # Connections

    def _asked(self, calls: Any) -> None:
        """Decide on a call of `connect`, and make it for whoever asked.

        He could write another address into his memory meanwhile, so that it is never left to him.
        """
        notification = bytearray(_NOTIFICATION_BYTES)
        try:
            fcntl.ioctl(calls, _RECEIVE, notification)
        except OSError:  # nobody waits any more
            asyncio.get_running_loop().remove_reader(calls)
            return
        call, thread = struct.unpack_from("=QI", notification)
        number, address, length = struct.unpack_from("=3Q", notification, 32)

        def waits() -> bool:
            """Whether it is still his number: another process may have got it since."""
            try:
                fcntl.ioctl(calls, _STILL_WAITS, struct.pack("=Q", call))
            except OSError:
                return False
            return True

        error = self._connect(thread, number & 0xFFFFFFFF, address, length & 0xFFFFFFFF, waits)
        with suppress(OSError):  # he was killed meanwhile
            fcntl.ioctl(calls, _SEND, struct.pack("=QqiI", call, 0, -error, 0))

    def _connect(self, thread: int, number: int, address: int, length: int, waits: Callable[[], bool]) -> int:
        """Connect a socket of a thread of another process. Returns an error's number, or 0."""
        try:
            memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY)
            try:
                target = os.pread(memory, min(length, _ADDRESS_BYTES), address)
            finally:
                os.close(memory)
            owner = os.pidfd_open(_process_of(thread))
            try:
                copy = libc.syscall(_PIDFD_GETFD, owner, number, 0)
            finally:
                os.close(owner)
        except (OSError, ValueError, OverflowError):
            return errno.EACCES
        if copy < 0:
            return ctypes.get_errno()
        try:
            return self._connect_socket(copy, target) if waits() else errno.EACCES
        finally:
            os.close(copy)

    def _connect_socket(self, descriptor: int, target: bytes) -> int:
        try:
            with socket.socket(fileno=os.dup(descriptor)) as one:
                family = one.family
        except OSError as error:
            return error.errno or errno.EACCES
        # A Unix socket without a file belongs to the network, and that is the command's own.
        if family == socket.AF_UNIX and target[2:3] != b"\0":
            return self._connect_file(descriptor, os.fsdecode(target[2:].partition(b"\0")[0]))
        if family not in {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}:
            return errno.EACCES
        return (family != socket.AF_UNIX and self._allowed(target)) or _made(descriptor, target)

    def _connect_file(self, descriptor: int, path: str) -> int:
        """Connect to a socket of the command's own folder, into which none can be brought; to no other."""
        if Path(path).is_relative_to(self.folder):
            try:
                found = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError as error:
                return error.errno or errno.EACCES
            try:
                # What was opened stays what it is, whatever is put in its place meanwhile.
                if Path(f"/proc/self/fd/{found}").readlink().is_relative_to(self.folder.resolve()):
                    return _made(descriptor, struct.pack("=H", socket.AF_UNIX) + f"/proc/self/fd/{found}\0".encode())
            finally:
                os.close(found)
        if path and not path.startswith(_SYSTEM_SOCKETS):
            self.saw(ReachAttempt("tried to reach", f"the socket {path}", database=".s.PGSQL." in path))
        return errno.EACCES

    def _allowed(self, target: bytes) -> int:
        """0 where a connection to an Internet address may be made, else the error's number."""
        if len(target) < 8 or (asked := struct.unpack_from("=H", target)[0]) == socket.AF_UNSPEC:
            return 0
        [port] = struct.unpack_from("!H", target, 2)
        raw = target[4:8] if asked == socket.AF_INET else target[8:24]
        try:
            host = ip_address(raw)
        except ValueError:
            return 0
        host = getattr(host, "ipv4_mapped", None) or host
        database = port in {POSTGRESQL_PORT, *self.reach.ports}
        if host.is_loopback:
            if (name := self._names.get(str(host))) and not database:
                self.saw(ReachAttempt("tried to reach", f"{self._called(name)}:{port}"))
            return 0
        if port not in {0, 53}:
            self.saw(ReachAttempt("tried to reach", _endpoint(str(host), port), database=database))
        return errno.ENETUNREACH

    # Names

    def _look_up(self, resolver: socket.socket) -> None:
        """Answer a question for a name: each gets an address of the loopback of its own."""
        with suppress(OSError):
            question, asker = resolver.recvfrom(4096)
            name, end = _asked_name(question)
            if not name:
                return
            [kind] = struct.unpack_from("!H", question, end)
            head = question[:2] + b"\x81\x80\x00\x01"
            if kind != 1:  # A; no other is known
                resolver.sendto(head + b"\0\0\0\0\0\0" + question[12 : end + 4], asker)
                return
            address = next((known for known, one in self._names.items() if one == name), "")
            if not address:
                place = len(self._names) + 1
                address = f"127.77.{place // 250 % 250}.{place % 250 + 1}"
                self._names[address] = name
                if name not in self.reach.aliases:
                    self.saw(ReachAttempt("looked up", name, database=name in self.reach.live_names))
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(address)
            resolver.sendto(head + b"\0\1\0\0\0\0" + question[12 : end + 4] + answer, asker)

    # PostgreSQL

    async def _serve(self, listener: socket.socket, tasks: set[asyncio.Task[None]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            tasks.add(task := asyncio.create_task(self._relay(connection)))
            task.add_done_callback(tasks.discard)

    async def _relay(self, connection: socket.socket) -> None:
        """Pass a connection on to the copy, or refuse it in the server's own words."""
        host, port = connection.getsockname()[:2]
        where = _endpoint(self._called(self._names.get(host, host)), port)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_SECONDS):
                first = await self._first_message(reader, writer, host, where)
            if first is None:
                return
            [version] = struct.unpack_from("!I", first, 4)
            if version != _CANCELS and (why := self._not_the_copy(first, where)):
                self.saw(ReachAttempt("tried to reach", why, database=True))
                says = f"a rehearsal reaches its copy only; {why} was refused"
                fields = b"SFATAL\0VFATAL\0C28000\0M" + says.encode() + b"\0\0"
                writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
                await writer.drain()
                return
            await self._pass_on(first, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _first_message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, where: str
    ) -> bytes | None:
        """What says the database; None when there was no such thing."""
        for _ in range(3):
            try:
                head = await reader.readexactly(8)
                size, code = struct.unpack("!II", head)
                if not 8 <= size <= _FIRST_MESSAGE_BYTES:
                    raise ValueError(size)  # noqa: TRY301 - as what is cut short
                message = head + await reader.readexactly(size - 8)
            except (asyncio.IncompleteReadError, ValueError):
                # TLS from the first byte, a connection that wants TLS and nothing else, or a look at the port.
                if host not in {"127.0.0.1", "::1"}:
                    self.saw(ReachAttempt("tried to reach", where, database=True))
                return None
            if code not in {_ASKS_TLS, _ASKS_GSSAPI}:
                return message
            writer.write(b"N")
        return None

    def _not_the_copy(self, first: bytes, where: str) -> str:
        """What else than the copy a first message asks for, or ""."""
        [major] = struct.unpack_from("!H", first, 4)
        if major != _PROTOCOL:
            return f"{where} with version {major} of the protocol"
        words = [os.fsdecode(word) for word in first[8:].split(b"\0")]
        said = dict(zip(words[::2], words[1::2], strict=False))
        user = said.get("user", "")
        database = said.get("database") or user
        if said.get("replication", "false").lower() not in {"false", "off", "no", "0"}:
            return f"the replication of {where}"
        if database != self.reach.database:
            return f"the database {database} at {where}"
        return "" if user == self.reach.user else f"the copy as {user}"

    def _denied(self, data: bytes) -> None:
        """Write down what the server refused, but not what a function says: that may be a value."""
        if _INSUFFICIENT_PRIVILEGE in data:
            for found in _DENIED.finditer(data):
                self.saw(ReachAttempt("was refused by the server:", found[1].decode("utf-8", "replace")))

    async def _pass_on(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.reach.upstream is None:
            return
        async with asyncio.timeout(_CONNECT_SECONDS):
            to_server = await _connected(self.reach.upstream)
        try:
            to_server[1].write(first)
            await _first_answer(to_server[0], writer)
            ways = {
                asyncio.create_task(_pump(reader, to_server[1])),
                asyncio.create_task(_pump(to_server[0], writer, self._denied)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait(ways, timeout=1)  # the server's last words
            finally:
                for way in ways:
                    way.cancel()
        finally:
            to_server[1].close()


def _made(descriptor: int, target: bytes) -> int:
    """Connect. Returns an error's number, or 0."""
    return 0 if libc.connect(descriptor, target, len(target)) == 0 else ctypes.get_errno()


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _process_of(thread: int) -> int:
    """Whose thread it is: Linux has descriptors for threads only since 6.9."""
    status = Path(f"/proc/{thread}/status").read_text(encoding="utf-8", errors="replace")
    [process] = re.findall(r"^Tgid:\s*(\d+)$", status, re.MULTILINE)
    return int(process)


async def _readable(one: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    come = asyncio.Event()
    loop.add_reader(one, come.set)
    try:
        await come.wait()
    finally:
        loop.remove_reader(one)


async def _first_answer(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on what a server says first, without the way to log in that is bound to TLS: there is none on this side."""
    kind = b"v"  # the version is negotiated
    while kind == b"v":
        head = await source.readexactly(5)
        kind, body = head[:1], await source.readexactly(struct.unpack_from("!I", head, 1)[0] - 4)
        if kind == b"R" and struct.unpack_from("!I", body)[0] == _SASL:
            body = body.replace(b"SCRAM-SHA-256-PLUS\0", b"")
        target.write(kind + struct.pack("!I", len(body) + 4) + body)


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, look: Callable[[bytes], None] | None = None
) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            if look:
                look(data)
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


async def _connected(server: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if server.host.startswith("/"):
        return await asyncio.open_unix_connection(f"{server.host}/.s.PGSQL.{server.port}")
    reader, writer = await asyncio.open_connection(server.host, server.port)
    if server.tls:
        writer.write(struct.pack("!II", 8, _ASKS_TLS))
        if await reader.readexactly(1) != b"S":
            writer.close()
            raise ConnectionError("the server speaks no TLS any more")
        await writer.start_tls(server.tls, server_hostname=server.server_name)
    return reader, writer


def _asked_name(question: bytes) -> tuple[str, int]:
    """The name in a DNS question, and where it ends; "" where there is none (RFC 1035, 4.1.2)."""
    labels, place = [], 12
    while place < len(question) and (size := question[place]):
        if size > 63:
            return "", 0
        labels.append(question[place + 1 : place + 1 + size].decode("ascii", "replace"))
        place += 1 + size
    return (".".join(labels), place + 1) if labels and place + 5 <= len(question) else ("", 0)


def _watch_file(path: Path) -> int:
    """A descriptor that can be read as soon as anybody opens the file."""
    watched: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watched < 0 or libc.inotify_add_watch(watched, os.fsencode(path), _IN_OPEN) < 0:
        raise GuardError(f"inotify: {os.strerror(ctypes.get_errno())}")
    return watched


def find_upstream(url: URL) -> tuple[Upstream, str, str]:
    """The server of a URL as libpq finds it, from whatever the URL, the environment or a service file says.

    Returns:
        The server, the user, and the password.

    Raises:
        RehearsalError: it can't be reached.
    """
    with connected(url) as connection:
        raw: Any = connection.connection.dbapi_connection
        info, uses_tls = raw.info, raw.pgconn.ssl_in_use
        said = info.get_parameters()
        name, host = info.host, info.hostaddr or info.host
        server = Upstream(name if name.startswith("/") else host, info.port, _tls(said) if uses_tls else None, name)
        return server, info.user, info.password


def _tls(said: Mapping[str, str]) -> ssl.SSLContext:
    """As libpq speaks TLS: without `verify-...` and without an authority of one's own, whoever answers is taken."""
    context = ssl.create_default_context()
    authority, mode = said.get("sslrootcert", ""), said.get("sslmode", "prefer")
    if authority and authority != "system":
        context.load_verify_locations(authority)
    context.check_hostname = mode == "verify-full"
    if mode not in {"verify-ca", "verify-full"} and not authority:
        context.verify_mode = ssl.CERT_NONE
    if certificate := said.get("sslcert"):
        context.load_cert_chain(certificate, said.get("sslkey"), said.get("sslpassword"))
    return context


@contextmanager
def guarded(reach: Reach) -> Iterator[RehearsalGuard]:
    """A guard that answers until the end."""
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        own, inside = Path(folder) / "own", Path(folder) / "tmp"
        own.mkdir(mode=0o700)
        inside.mkdir(mode=0o700)
        (own / "decoy").touch(mode=0o600)  # opening it for writing is seen like any other; what is written is lost
        (own / "dev").mkdir()
        (own / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n", encoding="ascii")
        guard, ready, loop = RehearsalGuard(reach, inside, own), threading.Event(), asyncio.SelectorEventLoop()
        stop = asyncio.Event()
        control = socket.socket(socket.AF_UNIX)
        control.bind(str(own / "control"))
        control.listen()
        control.settimeout(0)
        thread = threading.Thread(target=_watching, args=(loop, guard.watch(control, ready, stop), ready), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield guard
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


def _watching(loop: asyncio.AbstractEventLoop, work: Any, ready: threading.Event) -> None:
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(work)
    finally:
        ready.set()
