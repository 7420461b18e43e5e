"""What a rehearsal of migrations depends on, as one key: where the key is the same, so would be the rehearsal.

It covers the promises, the project's files, what its Python has installed, its environment, the golden database, the
server, and our own code. The heads need no place of their own: they are a function of the scripts. Production is not in
it, because it is looked at each time. Where something can't be known there is no key, and the rehearsal is run.

The key is a digest. Variables that may hold a secret are left out of it, since a short one could be guessed.
"""

import asyncio
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from sqlalchemy import URL

from roundsman.database.copied_database import RehearsalError, address, connected
from roundsman.database.rules.migration_facts import Migrations
from roundsman.database.rules.query_facts import Queries
from roundsman.rollback.find_and_run import environment, path_of
from roundsman.rollback.rules.output import shown
from roundsman.version import VERSION

#: A project with more than this is not read each night to save a rehearsal.
_MAX_FILES, _MAX_BYTES = 20_000, 500_000_000
#: Folders that hold no code of a project: history, caches, and packages, which are known by their versions.
_NO_CODE = frozenset(
    {".git", ".hg", ".svn", ".roundsman", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"}
    | {"node_modules"}
)
#: Variables that are other ones in each process or session, and that no migration asks for.
_OF_THE_PROCESS = re.compile(r"(PREFECT|ROUNDSMAN)_.*|_|PWD|OLDPWD|SHLVL|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID")
#: Where programs belong to the operating system, and change with its packages only.
_SYSTEM = (Path("/usr"), Path("/bin"), Path("/sbin"), Path("/lib"), Path("/dev"))
_ABSOLUTE = re.compile(r"(?:^|[\s=:'\"])(/[^\s'\":;,]+)")
_EDITABLE = re.compile(r"['\"](/[^'\"\n]+)['\"]")

#: Every relation with its file, and what the server counted of writes to it; catalogues too, so that no DDL is missed.
_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, pg_relation_filenode(c.oid)::bigint, c.reltuples, c.relpages,
    pg_relation_size(c.oid), s.n_tup_ins, s.n_tup_upd, s.n_tup_del
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'm', 'i', 't', 'S', 'p', 'v') ORDER BY 1
"""
_SEQUENCES = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
_SERVER = """
SELECT (SELECT system_identifier FROM pg_control_system()), d.oid::bigint, version(),
    extract(epoch FROM pg_postmaster_start_time())::text, current_setting('track_counts'),
    (SELECT stats_reset::text FROM pg_stat_database WHERE datid = d.oid),
    (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid AND pid <> pg_backend_pid()
        AND backend_type = 'client backend')
FROM pg_database d WHERE d.datname = current_database()
"""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE source <> 'session' ORDER BY name"
_ROLE_SETTINGS = "SELECT setdatabase::bigint, setrole::bigint, setconfig FROM pg_db_role_setting ORDER BY 1, 2"
#: What migrations may name of the server; a role of ours belongs to a copy.
_ROLES = """
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconfig FROM pg_roles
WHERE rolname !~ '^rehearsal_' ORDER BY 1
"""
_EXTENSIONS = "SELECT name, default_version FROM pg_available_extensions ORDER BY 1"


class UnknowableError(Exception):
    """Something that a rehearsal depends on can't be known; says what."""


async def rehearsal_key(
    name: str, plan: Migrations, live: str = "", folder: Path | None = None, queries: Queries | None = None
) -> tuple[str, str]:
    """The key of a rehearsal with these arguments of `rehearse_on_copy`, or "" and why there is none."""
    return await asyncio.to_thread(key_of, name, plan, live, folder or Path.cwd(), queries)


def key_of(name: str, plan: Migrations, live: str, folder: Path, queries: Queries | None) -> tuple[str, str]:
    """The same, in this thread."""
    try:
        parts = list(_parts(name, plan, live, folder.resolve(), queries))
    except (UnknowableError, RehearsalError, OSError) as error:
        return "", str(error)
    return f"migration-rehearsal-{_digest(parts)}", ""


def _parts(name: str, plan: Migrations, live: str, folder: Path, queries: Queries | None) -> Iterator[object]:
    golden = address(plan.golden)
    yield VERSION, sys.version_info[:3], own_code()
    yield name, plan.model_dump_json(), queries.model_dump_json() if queries else "", live
    for variable in filter(None, (plan.golden, live)):
        yield variable, address(variable).render_as_string(hide_password=True)
    yield sorted(
        (variable, value) for variable, value in shown(environment()).items() if not _OF_THE_PROCESS.fullmatch(variable)
    )
    databases = {path for variable in filter(None, (plan.golden, live)) for path in _files_of(address(variable))}
    yield list(_tree(folder, without=databases))
    packages, elsewhere = _installed(plan, folder)
    yield packages
    for root in elsewhere:
        yield str(root), list(_tree(root, without=databases, only=_is_code))
    yield list(_smoke(plan, folder))
    yield list(_golden(golden))


@cache
def own_code() -> str:
    """A digest of the code that rehearses."""
    own = Path(__file__).parents[1]
    files = sorted(path for subject in ("database", "rollback") for path in (own / subject).rglob("*.py"))
    return _digest([(str(path.relative_to(own)), path.read_text(encoding="utf-8")) for path in files])


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _is_code(path: Path) -> bool:
    return path.suffix in {".py", ".so", ".sql", ".json", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".mako"}


def _tree(
    top: Path, *, without: Iterable[Path] = (), only: Callable[[Path], bool] = lambda _: True
) -> Iterator[tuple[str, ...]]:
    """Each file below a folder with a digest of its content. Virtual environments and caches are left out."""
    left_files, left_bytes, skipped = _MAX_FILES, _MAX_BYTES, set(without)
    for where, folders, names in os.walk(top):
        here = Path(where)
        for one in sorted(folders):
            if (here / one).is_symlink():
                if not (here / one).resolve().is_relative_to(top) and not (here / one / "pyvenv.cfg").exists():
                    raise UnknowableError(f"{here / one} leads out of the project")
                yield str((here / one).relative_to(top)), str((here / one).readlink())
        folders[:] = sorted(
            one
            for one in folders
            if one not in _NO_CODE and not one.startswith("rehearsal_") and not (here / one / "pyvenv.cfg").exists()
        )
        for path in sorted(here / one for one in names):
            if path in skipped or path.suffix == ".pyc" or not only(path) or not path.is_file():
                continue
            left_files, left_bytes = left_files - 1, left_bytes - path.stat().st_size
            if left_files < 0 or left_bytes < 0:
                raise UnknowableError(f"{top} has more than {_MAX_FILES} files or {_MAX_BYTES} bytes")
            with path.open("rb") as file:
                yield str(path.relative_to(top)), hashlib.file_digest(file, "sha256").hexdigest()


def _files_of(url: URL) -> Iterator[Path]:
    """The files of an SQLite database, which are no code."""
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "").resolve()
        yield from (path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal"))


def _program(word: str, folder: Path) -> Path:
    found = str(folder / word) if "/" in word else path_of(word)
    if not found:
        raise UnknowableError(f"there is no program {word}")
    return Path(found)


def _installed(plan: Migrations, folder: Path) -> tuple[object, list[Path]]:
    """What the Python of the migrations has installed, by version; and folders from which it imports besides."""
    program = _program(plan.python, folder)
    prefix = program.parent.parent
    sites: list[Path] = []
    described = ""
    if (prefix / "pyvenv.cfg").is_file():
        described = (prefix / "pyvenv.cfg").read_text(encoding="utf-8")
        sites += prefix.glob("lib/python3*/site-packages")
    if not described or re.search(r"(?im)^include-system-site-packages\s*=\s*true", described):
        base = program.resolve().parent.parent
        for top in (base, Path("/usr/local"), Path.home() / ".local"):
            sites += [*top.glob("lib/python3*/site-packages"), *top.glob("lib/python3*/dist-packages")]
    if not sites:
        raise UnknowableError(f"nobody knows what {program} has installed")
    known: list[tuple[object, ...]] = [(str(program.resolve()), program.resolve().stat().st_mtime_ns, described)]
    elsewhere: set[Path] = set()
    for site in sorted(set(sites)):
        for entry in sorted(site.iterdir()):
            if entry.suffix in {".dist-info", ".egg-info"}:
                known.append((str(entry), entry.stat().st_mtime_ns))
            elif entry.suffix in {".pth", ".egg-link"} or entry.name.startswith("__editable__"):
                text = entry.read_text(encoding="utf-8", errors="replace")
                known.append((str(entry), text))
                elsewhere |= {path for path in _paths(text) if not path.is_relative_to(folder)}
    for path in filter(None, environment().get("PYTHONPATH", "").split(os.pathsep)):
        elsewhere |= {Path(path).resolve()} if not Path(path).resolve().is_relative_to(folder) else set()
    return known, sorted(path for path in elsewhere if path.is_dir())


def _paths(text: str) -> Iterator[Path]:
    """Folders that a `.pth` file or an editable package's finder adds."""
    for line in text.splitlines():
        if line.startswith("/"):
            yield Path(line.strip()).resolve()
    yield from (Path(found).resolve() for found in _EDITABLE.findall(text))


def _smoke(plan: Migrations, folder: Path) -> Iterator[object]:
    """The smoke test's program. An old release that is kept where nobody looks may be another one by now."""
    if not plan.smoke:
        return
    program = _program(plan.smoke[0], folder)
    own = _program(plan.python, folder).parent
    for path in (program, *(Path(found) for word in plan.smoke[1:] for found in _ABSOLUTE.findall(word))):
        inside = any(path.is_relative_to(top) for top in (folder, own, *_SYSTEM))
        if not inside:
            raise UnknowableError(f"the smoke test uses {path}, which is outside of the project")
    if any(".." in word for word in plan.smoke):
        raise UnknowableError("the smoke test leaves the project by way of ..")
    yield str(program), program.resolve().stat().st_mtime_ns


def _golden(url: URL) -> Iterator[object]:
    """What changes as soon as anybody writes to the golden database, or analyzes it; it is not read."""
    if url.get_backend_name() == "sqlite":
        for path in _files_of(url):
            # The shared memory beside a database in WAL mode is touched by whoever reads it.
            with suppress(FileNotFoundError):
                about = path.stat()
                if not path.name.endswith("-shm"):
                    # Nobody can set the time of a file's last change back.
                    yield path.name, about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
        return
    with connected(url, reads_only=True) as connection:
        *server, counts, reset, others = connection.exec_driver_sql(_SERVER).one()
        if counts != "on":
            raise UnknowableError("the golden database's server does not count writes (track_counts is off)")
        if others:
            raise UnknowableError("somebody is connected to the golden database, whose writes may not be counted yet")
        yield tuple(server), reset
        for ask in (_SETTINGS, _ROLE_SETTINGS, _ROLES, _EXTENSIONS, _RELATIONS, _SEQUENCES):
            yield [tuple(row) for row in connection.exec_driver_sql(ask)]
