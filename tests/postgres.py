"""A real PostgreSQL for the length of a test session, as Debian packages it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from roundsman.ledger.ledger import open_ledger
from tests import needs
from tests.ports import free_port

PASSWORD = "spelled-out-nowhere"


class Server:
    """A running server; `fresh()` makes an empty database and says its URL. `stop()` and `start()` are a restart."""

    def __init__(self, port: int, start: Callable[[], None], stop: Callable[[], None]) -> None:
        self.port = port
        self.start, self.stop = start, stop
        self._numbers = count(1)
        self._empty_ledger = ""

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://keeper:{password}@127.0.0.1:{self.port}/{database}"

    def fresh(self, template: str = "template1") -> str:
        name = f"fresh_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def ledger(self) -> str:
        """The URL of an empty ledger. It is a copy: to run its migrations takes longer than most tests."""
        if not self._empty_ledger:
            url = self.fresh()
            open_ledger(url).dispose()
            self._empty_ledger = url.rpartition("/")[2]
        return self.fresh(self._empty_ledger)


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Start a server on a free port of 127.0.0.1; it forgets everything in the end.

    `durable`: with its own defaults, so that a commit waits for the disk.
    """
    needs.slow_to_start("PostgreSQL")
    programs = _programs()
    # Not pytest's own folder: that is closed to the user that the server has to run as.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _somebody() if os.geteuid() == 0 else None
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}

    def run(program: str, *words: str) -> None:
        command = [programs / program, "--pgdata", folder / "data", *words]
        # A server that was started keeps the pipes of its starter open, so its words go to a file.
        with (folder / "said").open("w") as said:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, **as_user
            )
        assert done.returncode == 0, (folder / "said").read_text() + _log(folder)

    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        login = ("--username=keeper", f"--pwfile={secret}", "--auth=scram-sha-256")
        run("initdb", *login, "--no-sync", "--locale=C", "--encoding=UTF8")
        port = free_port()
        # Which queries take the most time is counted by a library that has to be there from the start.
        counts = "-c shared_preload_libraries=pg_stat_statements"
        settings = f"{'' if durable else '-F '}{counts} -h 127.0.0.1 -p {port} -k {folder}"

        def start() -> None:
            run("pg_ctl", "start", "--wait", f"--log={folder / 'log'}", "-o", settings)

        start()
        try:
            yield Server(port, start, lambda: run("pg_ctl", "stop", "--wait", "--mode=fast"))
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


def program(name: str) -> str:
    """One of the programs that come with the server."""
    return str(_programs() / name)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else Path(needs.program("pg_ctl")).resolve().parent


def _somebody() -> pwd.struct_passwd:
    """The server refuses to run as root."""
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _log(folder: Path) -> str:
    log = folder / "log"
    return log.read_text() if log.exists() else ""
