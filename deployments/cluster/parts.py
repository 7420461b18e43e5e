"""The parts of a cluster on one machine, each a program of its own: how it is started, and when it is ready.

What a Prefect server needs to be one of several, and what its clients need: on PostgreSQL, and talking by Redis.

The same as in compose.cluster.yaml and in deployments/helm/.
"""

import os
import pwd
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import httpx

from deployments.parts import Part, Parts


@dataclass(frozen=True)
class Places:
    """Where everything answers, on this machine."""

    database: int
    redis: int
    balancer: int
    servers: tuple[int, int]
    shop: int
    password: str

    def postgresql(self, name: str, driver: str = "") -> str:
        """The address of a database."""
        return f"postgresql{driver}://roundsman:{self.password}@127.0.0.1:{self.database}/{name}"


def of_server(places: Places) -> dict[str, str]:
    """For API servers and background services."""
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": places.postgresql("prefect", "+asyncpg"),
        # Once, before the first of them starts.
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        # Without it two background services would each do everything.
        "PREFECT_SERVER_DOCKET_URL": f"redis://:{places.password}@127.0.0.1:{places.redis}/1",
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(places.redis),
        "PREFECT_REDIS_MESSAGING_PASSWORD": places.password,
        "PREFECT_REDIS_MESSAGING_DB": "0",
    }


def of_client(places: Places) -> dict[str, str]:
    """For workers, their runs, and the command that deploys."""
    return {
        "PREFECT_API_URL": f"http://127.0.0.1:{places.balancer}/api",
        # So long a client is patient with a server that is gone: some minutes.
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        # While its database restarts, Prefect's API answers 500.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "ROUNDSMAN_LEDGER_URL": places.postgresql("ledger"),
    }


POOL = "roundsman"
WORKERS = 3
#: Runs that one worker has at once.
_RUNS = 2
#: Seconds for a server on a busy machine.
_TIMEOUT_SECONDS = 240.0
SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


class MissingError(Exception):
    """This machine lacks a program; says which one, and how to get it."""


def program(name: str, package: str) -> str:
    """The path of a program.

    Raises:
        MissingError: there is none.
    """
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *map(str, folders)])
    if found := shutil.which(name, path=places):
        return found
    raise MissingError(f"saw no program {name} on this machine; wanted it for the cluster: apt-get install {package}")


def check() -> None:
    """Look for every program that will be needed.

    Raises:
        MissingError: one is not there.
    """
    for name, package in {"initdb": "postgresql", "redis-server": "redis-server", "nginx": "nginx"}.items():
        program(name, package)
    if find_spec("prefect_redis") is None:
        raise MissingError("saw no package prefect-redis; wanted it for the cluster: pip install 'roundsman[cluster]'")


def free_places(password: str) -> Places:
    """Ports that nobody listens at."""
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
    database, redis, balancer, one, two, shop = [each.getsockname()[1] for each in opened]
    for each in opened:
        each.close()
    return Places(database, redis, balancer, (one, two), shop, password)


class Cluster:
    """Starts the parts in a folder, each when what it needs answers."""

    def __init__(self, parts: Parts, folder: Path, places: Places, pages: int) -> None:
        self.parts, self.folder, self.places, self._pages = parts, folder, places, pages
        base = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        more = {
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "PREFECT_HOME": str(folder / "prefect"),
            "ROUNDSMAN_HOME": str(Path(__file__).parents[2]),
        }
        self.client: dict[str, str] = {**base, **more, **of_client(places)}
        self.server: dict[str, str] = {**base, **more, **of_server(places), "PREFECT_SERVER_LOGGING_LEVEL": "WARNING"}
        self.servers: list[Part] = []
        self.workers: list[Part] = []

    def open(self) -> None:
        """Start everything but the workers.

        Raises:
            PartError: a part ended, or was not ready in time.
            StoppedError: somebody asked for the end.
        """
        self._database()
        self._redis()
        self._nginx()
        words: tuple[str, ...] = ("prefect", "server", "database", "upgrade", "--yes")
        self.parts.finish("upgrade", _python(*words), self.server, hide=".*")
        # One after the other: on an empty database each writes down the types of blocks, and the second to do so dies.
        for number, port in enumerate(self.places.servers, 1):
            words = ("prefect", "server", "start", "--no-services", "--host", "127.0.0.1", "--port", str(port))
            part = self.parts.start(f"api-{number}", _python(*words), self.server, hide=".*")
            self.parts.until(part, partial(_ready, f"http://127.0.0.1:{port}/api/ready"), _TIMEOUT_SECONDS)
            self.servers.append(part)
        for number in (1, 2):
            words = ("prefect", "server", "services", "start")
            self.parts.start(f"services-{number}", _python(*words), self.server, hide=".*")

    def work(self) -> None:
        """Start the workers, and wait until the servers know of them."""
        for number in range(1, WORKERS + 1):
            words = ("prefect", "worker", "start", "--pool", POOL, "--type", "process")
            named = ("--name", f"cluster-{number}", "--limit", str(_RUNS))
            self.workers.append(self.parts.start(f"worker-{number}", _python(*words, *named), self.client, hide=".*"))
        self.parts.until(self.workers[-1], lambda: _online(self.client) >= WORKERS, _TIMEOUT_SECONDS)

    def _database(self) -> None:
        data, login = self.folder / "database", self.folder / "password"
        user = _somebody() if os.geteuid() == 0 else None
        login.write_text(self.places.password)
        data.mkdir()
        if user:
            os.chown(data, user.pw_uid, user.pw_gid)
            os.chown(login, user.pw_uid, user.pw_gid)
        as_user = _as(user)
        words = ("--username=roundsman", f"--pwfile={login}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        initdb = [*as_user, program("initdb", "postgresql"), "--pgdata", str(data), *words]
        self.parts.finish("database", initdb, os.environ, hide=".*")
        login.unlink()
        server = [program("postgres", "postgresql"), "-D", str(data), "-h", "127.0.0.1"]
        server += ["-p", str(self.places.database), "-k", str(data), "-c", "max_connections=300"]
        part = self.parts.start("database", [*as_user, *server], os.environ, patience=30, hide=".*")
        self.parts.until(part, lambda: _answers(self.places.database), 60)
        self.parts.until(part, self._made, 60)

    def _made(self) -> bool:
        import psycopg  # noqa: PLC0415 - an extra

        try:
            with psycopg.connect(self.places.postgresql("postgres"), autocommit=True) as connection:
                for name in ("prefect", "ledger"):
                    connection.execute(f'CREATE DATABASE "{name}"')
        except psycopg.OperationalError:  # it is starting up
            return False
        return True

    def _redis(self) -> None:
        # In a file, as everybody sees the words of a command.
        config = self.folder / "redis.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {self.places.redis}\nrequirepass {self.places.password}\n"
            f'dir {self.folder}\nappendonly yes\nappendfsync everysec\nsave ""\n'
        )
        part = self.parts.start("redis", [program("redis-server", "redis-server"), str(config)], os.environ, hide=".*")
        self.parts.until(part, lambda: _answers(self.places.redis), 30)

    def _nginx(self) -> None:
        www = self.folder / "www"
        www.mkdir()
        shop = f"http://127.0.0.1:{self.places.shop}"
        urls = "".join(f"<url><loc>{shop}/articles/{number}</loc></url>" for number in range(self._pages))
        (www / "sitemap.xml").write_text(f"<urlset {SPACE}>{urls}</urlset>")
        text = Path(__file__).with_name("nginx.conf").read_text(encoding="utf-8")
        words = {"FOLDER": self.folder, "BALANCER": self.places.balancer, "SHOP": self.places.shop}
        words |= {"API_1": self.places.servers[0], "API_2": self.places.servers[1]}
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        config = self.folder / "nginx.conf"
        config.write_text(text)
        command = [program("nginx", "nginx"), "-p", str(self.folder), "-c", str(config)]
        part = self.parts.start("balancer", command, os.environ, hide=".*")
        self.parts.until(part, lambda: _answers(self.places.shop), 30)


def _python(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def _as(user: pwd.struct_passwd | None) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if user is None:
        return []
    return [program("setpriv", "util-linux"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _somebody() -> pwd.struct_passwd:
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _online(client: Mapping[str, str]) -> int:
    """Workers that the servers have heard of."""
    url = f"{client['PREFECT_API_URL']}/work_pools/{POOL}/workers/filter"
    try:
        found = httpx.post(url, json={}, timeout=10, trust_env=False).raise_for_status().json()
    except httpx.HTTPError:
        return 0
    return sum(one["status"] == "ONLINE" for one in found)
