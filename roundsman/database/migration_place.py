"""Where a rehearsal's commands run: an environment with the copy's address only, and what they may reach."""

import os
import socket
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, make_url

import roundsman
from roundsman.database.copied_database import Copy
from roundsman.database.migration_guard import POSTGRESQL_PORT, Reach, find_upstream
from roundsman.database.rules.migration_plan import Migrations, Protection
from roundsman.database.rules.migration_reach import Address, decoy_host, decoys, filled, of_the_project, withheld
from roundsman.rollback.find_and_run import environment as own_environment

#: What of a URL's query is about the way to the server, and means nothing on the way through the guard.
_OF_THE_WAY = frozenset(
    {"host", "hostaddr", "port", "service", "ssl", "passfile", "channel_binding", "gssencmode", "requirepeer"}
    | {"target_session_attrs", "load_balance_hosts", "krbsrvname", "user", "password", "dbname"}
)
#: Files that are looked for in the project's folder when the live one has more than one name, at most.
_MAX_FILES = 200_000


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """What a command finds."""

    environment: Mapping[str, str] = field(repr=False)
    withheld: frozenset[str] = frozenset()
    """Variables of ours that it does not find."""
    reach: Reach | None = None
    """None where nothing but the environment is guarded."""
    live: tuple[Address, ...] = ()

    def decoys(self, file: Path) -> dict[str, str]:
        """Values for the withheld variables with which each use of them is seen."""
        names = self.withheld - self.environment.keys()
        return decoys(own_environment(), of_the_project(names), self.live, str(file))


def find_place(plan: Migrations, copy: Copy, folder: Path, live: str, addresses: Collection[URL]) -> CommandPlace:
    """Make up the place for a rehearsal's commands.

    Args:
        plan: What is rehearsed.
        copy: The copy.
        folder: The project's folder.
        live: The variable with the live database's URL; it holds the copy's for the commands.
        addresses: Of the live database.

    Raises:
        RehearsalError: the copy can't be reached.
    """
    url = make_url(copy.url)
    is_file = url.get_backend_name() == "sqlite"
    known = tuple(_address(one) for one in addresses)
    without = withheld(own_environment(), known)
    reach = None
    if is_file and plan.guard is not Protection.ENVIRONMENT:
        reach = _reach_file(copy, folder, addresses, plan)
    elif plan.guard is not Protection.ENVIRONMENT:
        server, user, password = find_upstream(url)
        port = url.port or POSTGRESQL_PORT
        ports = tuple(dict.fromkeys([port, *(one.port for one in known if one.port), POSTGRESQL_PORT]))
        aliases = {decoy_host(name): f"the address in {name}" for name in of_the_project(without)}
        names = frozenset(host for one in known for host in one.hosts)
        reach = Reach(
            copy.name,
            user,
            server,
            ports,
            writable=(folder.resolve(),),
            read_only=_run_later(folder.resolve()),
            live_names=names,
            aliases=aliases,
        )
        query = {name: value for name, value in url.query.items() if name not in _OF_THE_WAY and "ssl" not in name}
        url = url.set(username=user, password=password, host="127.0.0.1", port=port, query=query)
    written = url.render_as_string(hide_password=False)
    parts = {
        "url": written,
        "host": url.host or "",
        "port": str(url.port or ("" if is_file else POSTGRESQL_PORT)),
        "user": url.username or "",
        "password": url.password or "",
        "database": url.database or "",
    }
    environment = dict.fromkeys(filter(None, (live, plan.golden, plan.url)), written)
    if not is_file:
        libpq = {
            "PGHOST": "host",
            "PGPORT": "port",
            "PGUSER": "user",
            "PGPASSWORD": "password",
            "PGDATABASE": "database",
        }
        environment |= {name: parts[part] for name, part in libpq.items() if parts[part]}
    environment |= {name: filled(template, parts) for name, template in plan.env.items()}
    return CommandPlace(environment, without, reach, known)


def nowhere(folder: Path) -> dict[str, str]:
    """Where libpq finds no service and no password, and other programs a folder that may be written."""
    empty = folder / "empty"
    empty.touch(mode=0o600)
    return {
        "PGPASSFILE": str(empty),
        "PGSERVICEFILE": str(empty),
        "PGSYSCONFDIR": str(folder),
        "PSQLRC": str(empty),
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder),
    }


def _address(url: URL) -> Address:
    if url.get_backend_name() == "sqlite":
        return Address(database=str(Path(url.database or "").resolve()), file=True)
    said = url.query.get("host", ())
    hosts = {host for host in (url.host, *([said] if isinstance(said, str) else said)) if host}
    hosts = {name for host in hosts for name in host.split(",")}
    for host in tuple(hosts):
        with suppress(OSError):
            hosts |= {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    port = url.port or POSTGRESQL_PORT
    return Address(frozenset(hosts), port, url.username or "", str(url.password or ""), url.database or "")


def _reach_file(copy: Copy, folder: Path, addresses: Collection[URL], plan: Migrations) -> Reach:
    """An SQLite file is kept from whoever may write its folder: a journal beside it would be played back."""
    files = [Path(one.database or "").resolve() for one in addresses if one.get_backend_name() == "sqlite"]
    golden = Path(make_url(os.environ[plan.golden]).database or "").resolve()
    hidden = [path for file in files for path in _names(file, folder)]
    beside = [Path(f"{path}{end}") for path in hidden for end in ("-wal", "-shm", "-journal")]
    there = tuple(dict.fromkeys(path for path in (*hidden, *beside) if path.is_file()))
    top = folder.resolve()
    closed = tuple(dict.fromkeys(path.parent for path in (*hidden, golden)))
    # A folder that is mounted can't be renamed, and neither must one be that leads to it.
    between = tuple(dict.fromkeys(path for one in closed for path in one.parents if top in path.parents))
    return Reach(
        ports=(POSTGRESQL_PORT,),
        writable=(Path(copy.name).parent.resolve(), top, *between),
        read_only=(*closed, *_run_later(top)),
        hidden=there,
    )


def _run_later(folder: Path) -> tuple[Path, ...]:
    """Folders in the project's one with what runs later without a guard, such as the guard's own code."""
    own = {Path(roundsman.__file__).parent, Path(__file__).parents[1], Path(sys.prefix)}
    environments = {path.parent for path in folder.glob("*/pyvenv.cfg")}
    found = {path.resolve() for path in (*own, *environments, folder / ".git") if path.is_dir()}
    return tuple(sorted(path for path in found if folder in path.parents))


def _names(file: Path, folder: Path) -> Iterator[Path]:
    """A file by each of its names, as far as they are in its own folder or in the project's."""
    yield file
    with suppress(OSError):
        about = file.stat()
        if about.st_nlink == 1:
            return
        left = _MAX_FILES
        for top in dict.fromkeys((file.parent, folder.resolve())):
            for where, _, names in os.walk(top):
                for path in (Path(where) / name for name in names):
                    left -= 1
                    with suppress(OSError):
                        if left > 0 and path != file and path.lstat().st_ino == about.st_ino and path.samefile(file):
                            yield path
