"""The live database is out of reach of what a rehearsal runs, and whatever tried is attempt_messages of."""

import os
import sqlite3
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import trustme
from sqlalchemy import make_url

from roundsman.database.copied_database import RehearsalError, copied
from roundsman.database.migrate import RehearsalContext, _command, find_place
from roundsman.database.rehearse_migrations import _rehearse
from roundsman.database.rules.judge_migrations import judge
from roundsman.database.rules.migration_facts import Protection
from roundsman.database.rules.migration_reach import attempt_messages
from tests import needs, postgres
from tests.database import migrating
from tests.database.migrating import Project, plan

#: Each runs a command in a guarded process of its own.
pytestmark = pytest.mark.slow

TABLE = ["CREATE TABLE page (id integer PRIMARY KEY, title text)", "INSERT INTO page VALUES (1, 'as it was')"]
WRITES = "UPDATE page SET title = 'overwritten'"


class Shop:
    """A live database, a golden one, and a project; commands run as a rehearsal's do."""

    def __init__(self, folder, live, golden, environment):
        self.live, self.golden, self.folder = live, golden, folder
        self.url, self.parts = make_url(live), environment
        self.project = Project(folder / "project")
        self.plan = plan()

    def state(self):
        if self.url.get_backend_name() == "sqlite":
            files = sorted(path for path in Path(self.url.database).parent.iterdir() if path.is_file())
            return [(path.name, path.read_bytes()) for path in files]
        with psycopg.connect(self.live) as connection:
            return connection.execute("SELECT * FROM page").fetchall()

    @contextmanager
    def copy(self):
        url = make_url(self.golden)
        with copied("shop", url, self.url, datetime.now(UTC), self.plan.guard) as copy:
            place = find_place(self.plan, copy, self.project.folder, "SHOP_LIVE", [self.url])
            yield RehearsalContext(self.plan, copy, self.project.folder, "SHOP_LIVE", place=place)


def run(at, words):
    """Run a command as a rehearsal's; what went wrong, and what was attempt_messages of it."""
    begun = len(at.attempts)
    with _command(at, "it") as command:
        ran = command.run(words, {}, 60.0)
    return ran, attempt_messages(at.attempts[begun:])


def made(folder, live, golden, patch):
    """The variables in which a team keeps its live address, in every spelling."""
    url = make_url(live)
    patch.setenv("SHOP_LIVE", live)
    patch.setenv("SHOP_GOLDEN", golden)
    patch.setenv("PROD_URL", live)
    (folder / "project").mkdir(exist_ok=True)
    (folder / "project/.env").write_text(f"LIVE_URL={live}\n")
    if not url.host:
        patch.setenv("LIVE_FILE", url.database)
    if url.host:
        patch.setenv("POSTGRES_SERVER", f"{url.host}:{url.port}")
        patch.setenv("PROD_DSN", f"host={url.host} port={url.port} user={url.username} password={url.password}")
        patch.setenv("LIVE_PASSWORD", url.password)
        patch.setenv("PGSERVICE", "live")
        patch.setenv("PGSERVICEFILE", str(folder / "services"))
        (folder / "services").write_text(
            f"[live]\nhost={url.host}\nport={url.port}\nuser={url.username}\npassword={url.password}\n"
            f"dbname={url.database}\n"
        )
        (folder / "passwords").write_text(f"*:*:*:{url.username}:{url.password}\n")
        (folder / "passwords").chmod(0o600)
        patch.setenv("PGPASSFILE", str(folder / "passwords"))


@contextmanager
def opened(folder, live, golden):
    """A shop, its copy, and its environment; that of another test is not for it."""
    with pytest.MonkeyPatch.context() as patch:
        kept = dict(os.environ)
        made(folder, live, golden, patch)
        environment = {name: value for name, value in os.environ.items() if kept.get(name) != value}
        shop = Shop(folder, live, golden, environment)
        with shop.copy() as at:
            patch.undo()
            yield shop, at
            patch.setenv("SHOP_GOLDEN", golden)


@pytest.fixture(scope="module")
def postgres_opened(postgres_server, tmp_path_factory):
    live, golden = postgres_server.fresh(), postgres_server.fresh()
    for url in (live, golden):
        migrating.fill(url, TABLE)
    with opened(tmp_path_factory.mktemp("shop"), live, golden) as shop, psycopg.connect(live):
        yield shop


def fill_file(path):
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as database:
        for statement in TABLE:
            database.execute(statement)
    database.close()


@pytest.fixture(scope="module")
def sqlite_opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    for name in ("live", "golden"):
        fill_file(folder / name / "shop.db")
    os.link(folder / "live/shop.db", folder / "live/other-name.db")
    (folder / "link.db").symlink_to(folder / "live/shop.db")
    with opened(folder, f"sqlite:///{folder}/live/shop.db", f"sqlite:///{folder}/golden/shop.db") as shop:
        yield shop


@pytest.fixture
def postgres_shop(postgres_opened, monkeypatch):
    for name, value in postgres_opened[0].parts.items():
        monkeypatch.setenv(name, value)
    return postgres_opened


@pytest.fixture
def sqlite_shop(sqlite_opened, monkeypatch):
    for name, value in sqlite_opened[0].parts.items():
        monkeypatch.setenv(name, value)
    return sqlite_opened


@pytest.fixture(params=["postgresql", "sqlite"])
def shop(request):
    return request.getfixturevalue("postgres_shop" if request.param == "postgresql" else "sqlite_shop")


PSYCOPG = "import psycopg; c = psycopg.connect({}, connect_timeout=5, autocommit=True); c.execute(WRITES)"
ASYNCPG = "import asyncio, asyncpg\nasync def go():\n    c = await asyncpg.connect({}, timeout=5)\n    await c.execute(WRITES)\nasyncio.run(go())"
WIRE = """
import socket, struct
s = {}
s.settimeout(5)
said = b"user\\0keeper\\0database\\0LIVE_NAME\\0\\0"
s.sendall(struct.pack("!II", len(said) + 8, 196608) + said)
assert s.recv(1) == b"R", "refused"
"""
QUIET = "\nimport contextlib\nwith contextlib.suppress(Exception):\n    "
#: What it is called, what it runs (Python, or words), and what is attempt_messages; "" where the variable is not there at all.
POSTGRESQL = [
    ("psycopg, whole URL in the environment", PSYCOPG.format("os.environ['PROD_URL']"), "the database live at the address in PROD_URL:5432"),
    ("psycopg, swallowed", QUIET + PSYCOPG.format("os.environ['PROD_URL']"), "the database live at the address in PROD_URL:5432"),
    ("psycopg, the URL written down", PSYCOPG.format("LIVE"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psycopg, another database of the copy's server", PSYCOPG.format("dict(dbname='LIVE_NAME').__repr__() and 'dbname=LIVE_NAME'"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psycopg, the copy as another user", PSYCOPG.format("'user=keeper password=spelled-out-nowhere'"), "the copy as keeper"),
    ("psycopg, replication", PSYCOPG.format("'replication=database'"), "the replication of 127.0.0.1:PORT"),
    ("psycopg, a host by name", PSYCOPG.format("'postgresql://keeper:x@db.prod.example.com/live'"), "the database live at db.prod.example.com:PORT"),
    ("psycopg, a standby by address", PSYCOPG.format("'postgresql://keeper:x@192.0.2.7:6543/live?sslmode=require'"), "192.0.2.7:6543"),
    ("psycopg, IPv6", PSYCOPG.format("'host=::1 port=PORT dbname=LIVE_NAME user=keeper password=spelled-out-nowhere'"), "the database LIVE_NAME at [::1]:PORT"),
    ("psycopg, several hosts", PSYCOPG.format("'postgresql://keeper:x@192.0.2.9:1,127.0.0.1:PORT/LIVE_NAME'"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psycopg, in a thread, swallowed", QUIET + "from concurrent.futures import ThreadPoolExecutor as T; T(1).submit(psycopg.connect, LIVE).result()".replace("psycopg", "__import__('psycopg')"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psycopg, parts of the environment", PSYCOPG.format("'host=' + os.environ['POSTGRES_SERVER'] + ' password=' + os.environ['LIVE_PASSWORD']"), ""),
    ("psycopg, a DSN in the environment", PSYCOPG.format("os.environ['PROD_DSN']"), ""),
    ("psycopg, a socket", PSYCOPG.format("'host=SOCKETS port=PORT dbname=LIVE_NAME user=keeper password=spelled-out-nowhere'"), "the socket SOCKETS/.s.PGSQL.PORT"),
    ("psycopg, a service", PSYCOPG.format("'service=live'"), "definition of service"),
    ("psycopg, a service file of its own", "os.environ['PGSERVICEFILE'] = 'FOLDER/services'\n" + PSYCOPG.format("'service=live'"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psycopg, a password file of its own", PSYCOPG.format("'host=127.0.0.1 port=PORT dbname=LIVE_NAME user=keeper passfile=FOLDER/passwords'"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("asyncpg, the URL written down", ASYNCPG.format("LIVE"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("asyncpg, swallowed", ASYNCPG.replace("asyncio.run(go())", "try: asyncio.run(go())\nexcept Exception: pass").format("LIVE"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("asyncpg, a socket", ASYNCPG.format("host='SOCKETS', port=PORT, database='LIVE_NAME', user='keeper', password='spelled-out-nowhere'"), "the socket SOCKETS/.s.PGSQL.PORT"),
    ("dotenv", "from dotenv import load_dotenv; load_dotenv()\n" + PSYCOPG.format("os.environ['LIVE_URL']"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("the wire", WIRE.format("socket.create_connection(('127.0.0.1', PORT))"), "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("the wire, an older protocol", WIRE.replace('said = b"user\\0keeper\\0database\\0LIVE_NAME\\0\\0"', 'said = "\\0".join(["LIVE_NAME", "", "user", os.environ["PGUSER"], "database", os.environ["PGDATABASE"], ""]).encode()').replace("196608", "2 << 16").format("socket.create_connection(('127.0.0.1', PORT))"), "127.0.0.1:PORT with version 2 of the protocol"),
    ("the wire, a socket", WIRE.format("socket.socket(socket.AF_UNIX); s.connect('SOCKETS/.s.PGSQL.PORT')"), "the socket SOCKETS/.s.PGSQL.PORT"),
    ("psql", ["sh", "-c", 'psql "$PROD_URL" -c "$WRITES" || true'], "the database live at the address in PROD_URL:5432"),
    ("psql, the URL written down", ["psql", "LIVE_URL", "-c", WRITES], "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psql, from the copy", ["psql", "-c", r"\connect LIVE_NAME", "-c", WRITES], "the database LIVE_NAME at 127.0.0.1:PORT"),
    ("psql, a socket", ["sh", "-c", f'psql -h SOCKETS -p PORT -U keeper LIVE_NAME -c "{WRITES}" || true'], "the socket SOCKETS/.s.PGSQL.PORT"),
    ("psql, COPY PROGRAM", ["psql", "-v", "ON_ERROR_STOP=1", "-c", "COPY page TO PROGRAM 'psql LIVE_URL'"], "pg_execute_server_program"),
    ("psql, dblink", ["psql", "-v", "ON_ERROR_STOP=1", "-c", "CREATE EXTENSION dblink"], "it was refused by the server: permission denied to create extension"),
    ("psql, dropped from the copy", ["sh", "-c", 'psql -c "DROP DATABASE LIVE_NAME" || true'], "it was refused by the server: must be owner of database"),
    ("psql, locked out from the copy", ["psql", "-v", "ON_ERROR_STOP=1", "-c", "ALTER ROLE keeper NOLOGIN"], "must be superuser"),
    ("psql, ended from the copy", ["psql", "-v", "ON_ERROR_STOP=1", "-c", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper' LIMIT 1"], "must be a superuser to terminate"),
    ("psql, what a function says", ["psql", "-c", "DO $$BEGIN RAISE insufficient_privilege USING MESSAGE = 'ada@example.com'; END$$"], "ada@example.com"),
    ("no network at all", "import urllib.request as u; u.urlopen('http://192.0.2.1:8123/', timeout=3)", "192.0.2.1:8123"),
    ("new namespaces", ["sh", "-c", "unshare --user --map-root-user --net --mount true"], "Read-only file system"),
]  # fmt: skip


def fitted(shop, at, words):
    url = shop.url
    sockets = ""
    if url.host:
        with psycopg.connect(shop.live) as connection:
            sockets = connection.execute("SHOW unix_socket_directories").fetchone()[0]
    said = {
        "LIVE_NAME": url.database, "LIVE_URL": shop.live, "SOCKETS": sockets, "FOLDER": str(shop.folder),
        "PORT": str(url.port), "THE_COPY": at.copy.name,
    }  # fmt: skip
    head = f"import os\nLIVE, WRITES = {shop.live!r}, {WRITES!r}\n"
    words = [sys.executable, "-c", head + words] if isinstance(words, str) else list(words)
    for name, value in said.items():
        if name == "LIVE_URL":  # a variable of .env has that name
            words = [value if word == name else word.replace(f" {name}", f" {value}") for word in words]
        else:
            words = [word.replace(name, value) for word in words]
    return words, said


@pytest.mark.parametrize(("says", "words", "wanted"), POSTGRESQL, ids=[row[0] for row in POSTGRESQL])
def test_live_is_out_of_reach_on_postgresql(says, words, wanted, postgres_shop):
    if isinstance(words, list):
        needs.program("psql")
    shop, at = postgres_shop
    before = shop.state()
    words, said = fitted(shop, at, words)
    ran, attempts = run(at, words)
    assert before == shop.state()
    for name in ("LIVE_NAME", "SOCKETS", "PORT"):
        wanted = wanted.replace(name, said[name])
    assert wanted in " ".join(attempts) + ran.output, (attempts, ran)
    assert attempts or ran.trouble
    assert "ada@example.com" not in " ".join(attempts)


SQLITE3 = "import sqlite3; c = sqlite3.connect({}, timeout=1); c.execute(WRITES); c.commit()"
OPENED = "it opened the file of the live database"
SQLITE = [
    ("sqlite3, in the environment", SQLITE3.format("os.environ['PROD_URL'].removeprefix('sqlite:///')"), OPENED),
    ("sqlite3, a path in the environment", SQLITE3.format("os.environ['LIVE_FILE']"), OPENED),
    ("sqlite3, the path written down", SQLITE3.format("'LIVE_NAME'"), OPENED),
    ("sqlite3, swallowed", QUIET + SQLITE3.format("'LIVE_NAME'"), OPENED),
    ("sqlite3, a relative path", SQLITE3.format("'../live/shop.db'"), OPENED),
    ("sqlite3, a symbolic link", SQLITE3.format("'FOLDER/link.db'"), OPENED),
    ("sqlite3, a hard link", SQLITE3.format("'FOLDER/live/other-name.db'"), OPENED),
    ("sqlite3, a URI", SQLITE3.format("'file:LIVE_NAME?mode=rw&immutable=1', uri=True"), OPENED),
    ("sqlite3, by /proc", SQLITE3.format("'/proc/1/root' + 'LIVE_NAME'"), OPENED),
    ("sqlite3, attached to the copy", SQLITE3.format("'THE_COPY'").replace("c.execute(", "c.execute(\"ATTACH 'LIVE_NAME' AS live\"); c.execute('DELETE FROM live.page') if 1 else (", 1), OPENED),
    ("aiosqlite", "import asyncio, aiosqlite\nasync def go():\n    async with aiosqlite.connect('LIVE_NAME') as c:\n        await c.execute(WRITES)\n        await c.commit()\nasyncio.run(go())", OPENED),
    ("dotenv", "from dotenv import load_dotenv; load_dotenv()\n" + SQLITE3.format("os.environ['LIVE_URL'].removeprefix('sqlite:///')"), OPENED),
    ("the shell", ["sqlite3", "LIVE_NAME", WRITES], OPENED),
    ("the shell, swallowed", ["sh", "-c", f'sqlite3 LIVE_NAME "{WRITES}" || true'], OPENED),
    ("a journal beside it", "open('LIVE_NAME-journal', 'wb').write(b'x' * 512)", "Read-only file system"),
    ("removed", "os.unlink('LIVE_NAME')", "Read-only file system"),
    ("replaced", "os.rename('THE_COPY', 'LIVE_NAME')", "cross-device"),
    ("truncated", "open('LIVE_NAME', 'wb')", OPENED),
    ("written over, swallowed", QUIET + "os.write(os.open('LIVE_NAME', os.O_RDWR), b'x')", OPENED),
    ("the mount undone", ["sh", "-c", "umount LIVE_NAME"], "must be superuser"),
    ("golden", SQLITE3.format("'FOLDER/golden/shop.db'"), "readonly database"),
]  # fmt: skip


@pytest.mark.parametrize(("says", "words", "wanted"), SQLITE, ids=[row[0] for row in SQLITE])
def test_live_is_out_of_reach_on_sqlite(says, words, wanted, sqlite_shop):
    if words[0] == "sqlite3" or "sqlite3 " in words[-1]:
        needs.program("sqlite3")
    shop, at = sqlite_shop
    before = shop.state()
    words, _ = fitted(shop, at, words)
    ran, attempts = run(at, words)
    assert before == shop.state()
    assert wanted.lower() in (" ".join(attempts) + ran.output).lower(), (attempts, ran)


def test_the_copy_can_be_written_and_so_can_the_project(shop):
    shop, at = shop
    code = "import os, pathlib; pathlib.Path('made').touch(); u = os.environ['SHOP_URL']\n"
    code += (
        "import psycopg; c = psycopg.connect(u, autocommit=True)\n" if shop.url.host else
        "import sqlite3; c = sqlite3.connect(u.removeprefix('sqlite:///'), isolation_level=None)\n"
    ) + "c.execute('CREATE TABLE made (id integer)'); c.execute('DROP TABLE made')\n"  # fmt: skip
    ran, attempts = run(at, [sys.executable, "-c", code])
    assert ("", []) == (ran.trouble, attempts), ran
    assert (shop.project.folder / "made").exists()


def test_a_command_that_serves_and_asks_itself_is_left_alone(postgres_shop):
    code = """
import threading, urllib.request as u, http.server as h
s = h.HTTPServer(("127.0.0.1", 0), h.SimpleHTTPRequestHandler)
threading.Thread(target=s.serve_forever, daemon=True).start()
assert u.urlopen(f"http://localhost:{s.server_port}/alembic.ini", timeout=10).status == 200
"""
    ran, attempts = run(postgres_shop[1], [sys.executable, "-c", code])
    assert ("", []) == (ran.trouble, attempts), ran


def test_a_command_reaches_the_copy_and_its_own_processes_from_any_thread(postgres_shop):
    shop, at = postgres_shop
    (shop.project.folder / "threads.py").write_text("""
import multiprocessing, os, psycopg
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
if __name__ == "__main__":
    with ThreadPoolExecutor(1) as threads:
        for host in ("127.0.0.1", "localhost", "::1"):
            threads.submit(psycopg.connect, os.environ["SHOP_URL"], host=host).result().close()
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as processes:
        assert processes.submit(int, "7").result() == 7
""")
    ran, attempts = run(at, [sys.executable, "threads.py"])
    assert ("", []) == (ran.trouble, attempts), ran


def test_a_socket_elsewhere_is_reached_by_no_link_in_the_commands_own_folder(postgres_shop):
    code = """
import os, socket
from pathlib import Path
link = Path(os.environ["TMPDIR"], "link")
link.symlink_to("SOCKETS")
socket.socket(socket.AF_UNIX).connect(f"{link}/.s.PGSQL.PORT")
"""
    words, said = fitted(*postgres_shop, code)
    ran, attempts = run(postgres_shop[1], [word.replace("SOCKETS", said["SOCKETS"]) for word in words])
    assert "Permission denied" in ran.trouble
    assert f"/link/.s.PGSQL.{said['PORT']}" in attempts[0]


def test_no_folder_on_the_way_to_the_live_file_is_moved(tmp_path, monkeypatch):
    live = tmp_path / "project/var/data/shop.db"
    for path in (live, tmp_path / "golden/shop.db"):
        fill_file(path)
    with opened(tmp_path, f"sqlite:///{live}", f"sqlite:///{tmp_path}/golden/shop.db") as (shop, at):
        monkeypatch.setenv("SHOP_LIVE", shop.live)
        before = shop.state()
        ran, _ = run(at, ["sh", "-c", "touch var/own && mv var gone"])
        assert before == shop.state()
        assert "busy" in ran.trouble
        assert (tmp_path / "project/var/own").exists()


def test_what_runs_later_without_a_guard_is_read_only(shop, monkeypatch):
    shop, at = shop
    for name in (".git/hooks", "env", "library/roundsman"):
        (shop.project.folder / name).mkdir(parents=True, exist_ok=True)
    (shop.project.folder / "env/pyvenv.cfg").touch()
    monkeypatch.setattr("roundsman.__file__", str(shop.project.folder / "library/roundsman/__init__.py"))
    url = [shop.url]
    at = replace(at, place=find_place(shop.plan, at.copy, shop.project.folder, "SHOP_LIVE", url))
    for name in (".git/hooks/pre-commit", "env/sitecustomize.py", "library/roundsman/guard.py"):
        ran, _ = run(at, ["touch", name])
        assert "Read-only file system" in ran.trouble, name


def test_what_it_leaves_running_is_gone_with_it(postgres_shop, tmp_path):
    shop, at = postgres_shop
    mark = shop.project.folder / "still-here"
    code = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 2; touch {mark}'], start_new_session=True)"
    ran, _ = run(at, [sys.executable, "-c", code])
    assert "" == ran.trouble
    assert not any(
        str(mark).encode() in path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    )


def rehearse(shop, **more):
    promised = plan(**{"rows": {"page": 1}, **more})
    facts = _rehearse("shop", promised, "SHOP_LIVE", shop.project.folder, threading.Event())
    verdicts = judge("shop", "content", promised, facts)
    return {one.claim.partition("/")[2]: one for one in verdicts[-1].findings}, facts


def test_a_migration_that_swallows_its_failure_is_found(shop):
    shop, _ = shop
    before = shop.state()
    driver = PSYCOPG.format(repr(shop.live)) if shop.url.host else SQLITE3.format(repr(shop.url.database))
    written = shop.project.add("reaches out", f"WRITES = {WRITES!r}\ntry:\n    {driver}\nexcept Exception:\n    pass")
    found, _ = rehearse(shop)
    written.unlink()
    reach = found["db316-reach"]
    assert ("fail", "pass") == (reach.outcome, found["db310-downgrade"].outcome)
    assert "the upgrade" in reach.saw
    assert ("tried to reach the database" if shop.url.host else "opened the file of the live database") in reach.saw
    assert before == shop.state()


def test_a_copy_that_is_replaced_is_refused(sqlite_shop):
    shop, _ = sqlite_shop
    with shop.copy() as at:
        code = f"import os; p = {at.copy.name!r}; os.unlink(p); os.symlink({shop.url.database!r}, p)"
        with pytest.raises(RehearsalError, match="something else in the place of the copy"):
            run(at, [sys.executable, "-c", code])


def test_a_system_that_can_not_guard_is_refused_until_the_file_says_so(postgres_shop, monkeypatch, tmp_path):
    shop, at = postgres_shop
    broken = tmp_path / "confine.py"
    text = Path("roundsman/database/migration_confine.py").read_text()
    broken.write_text(
        text.replace(
            '_checked(libc.unshare(_NAMESPACES), "unshare")', 'raise OSError(1, "Operation not permitted", "unshare")'
        )
    )
    monkeypatch.setattr("roundsman.database.migration_guard._CONFINE", broken)
    mark = shop.project.folder / "was-run"
    with pytest.raises(RehearsalError, match=r"unshare: Operation not permitted.*nothing was run.*guard: environment"):
        run(at, ["touch", str(mark)])
    assert not mark.exists()
    found, _ = rehearse(shop, guard="environment")
    assert ("warn", True) == (found["db316-reach"].outcome, "were not guarded" in found["db316-reach"].saw)


def test_a_role_that_can_reach_elsewhere_is_refused(postgres_server, postgres_shop):
    shop, _ = postgres_shop
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as server:
        server.execute("DROP ROLE IF EXISTS builder")
        server.execute("CREATE ROLE builder LOGIN CREATEDB PASSWORD 'builds'")
    own = make_url(postgres_server.fresh())
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as server:
        server.execute(f"ALTER DATABASE {own.database} OWNER TO builder")
    golden = own.set(username="builder", password="builds")
    with pytest.raises(
        RehearsalError, match=r"live database on the server of the golden one.*CREATEROLE.*guard: network"
    ):
        copied("shop", golden, shop.url, datetime.now(UTC), Protection.FULL).__enter__()
    with copied("shop", golden, None, datetime.now(UTC), Protection.FULL) as copy:
        assert "builder" == make_url(copy.url).username
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as server:
        server.execute("ALTER ROLE builder CREATEROLE")
    with copied("shop", golden, shop.url, datetime.now(UTC), Protection.FULL) as copy:
        assert copy.name == make_url(copy.url).username
    with psycopg.connect(postgres_server.url("postgres")) as server:
        assert (
            []
            == server.execute(
                "SELECT rolname FROM pg_roles WHERE rolname LIKE 'rehearsal%' AND rolname NOT IN (SELECT datname FROM pg_database)"
            ).fetchall()
        )


def test_ways_from_the_server_to_others_are_closed_on_the_copy(postgres_server):
    golden = postgres_server.fresh()
    try:
        migrating.fill(golden, ["CREATE EXTENSION dblink", "CREATE EXTENSION postgres_fdw"])
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server has no dblink and postgres_fdw")
    migrating.fill(golden, [
        "CREATE SERVER live FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1')",
        "CREATE USER MAPPING FOR PUBLIC SERVER live OPTIONS (user 'keeper', password 'x')",
        "GRANT USAGE ON FOREIGN SERVER live TO PUBLIC",
        "CREATE FOREIGN TABLE live_page (id integer) SERVER live",
    ])  # fmt: skip
    with copied("shop", make_url(golden), None, datetime.now(UTC), Protection.FULL) as copy:  # noqa: SIM117 - in order
        with psycopg.connect(copy.url, autocommit=True) as connection:
            for statement, why in (
                ("SELECT dblink_connect('host=127.0.0.1 user=keeper password=x')", "permission denied for function"),
                ("SELECT * FROM live_page", "user mapping not found"),
                ("CREATE USER MAPPING FOR CURRENT_USER SERVER live OPTIONS (user 'keeper', password 'x')", "permission denied"),
                ("CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw", "permission denied"),
            ):  # fmt: skip
                with pytest.raises(psycopg.Error, match=why):
                    connection.execute(statement)


def test_a_golden_database_may_insist_on_tls(tmp_path, monkeypatch):
    """The way through the guard is in the clear, and the one behind it is not."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    with postgres.server() as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            data = Path(connection.execute("SHOW data_directory").fetchone()[0])
            certificate.private_key_pem.write_to_path(data / "server.key")
            certificate.cert_chain_pems[0].write_to_path(data / "server.crt")
            for name in ("server.key", "server.crt"):
                os.chown(data / name, data.stat().st_uid, data.stat().st_gid)
                (data / name).chmod(0o600)
            (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
        golden = f"{server.fresh()}?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
        monkeypatch.setenv("SHOP_GOLDEN", golden)
        url = make_url(golden)
        with copied("shop", url, None, datetime.now(UTC), Protection.FULL) as copy:
            at = RehearsalContext(plan(), copy, tmp_path, place=find_place(plan(), copy, tmp_path, "", []))
            code = "import os, psycopg; print(psycopg.connect(os.environ['SHOP_URL']).execute('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()').fetchone())"
            ran, attempts = run(at, [sys.executable, "-c", code])
    assert ("", "(True,)", []) == (ran.trouble, ran.output, attempts), ran


FROM_PARTS = """
import os
from alembic import context
from sqlalchemy import create_engine, URL
e = os.environ
url = URL.create("postgresql+psycopg", e["POSTGRES_USER"], e["POSTGRES_PASSWORD"], e["POSTGRES_SERVER"], int(e["POSTGRES_PORT"]), e["POSTGRES_DB"])
with create_engine(url).connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
RUNS = "\nwith context.begin_transaction():\n    context.run_migrations()\n"
#: Env.py files that connect to nothing.
OFFLINE = [
    "from alembic import context\ncontext.configure(url='postgresql://', literal_binds=True)" + RUNS,
    "from alembic import context\ncontext.configure(url='postgresql://')" + RUNS,
    "from alembic import context\ncontext.configure(dialect_name='postgresql')" + RUNS,
    "from alembic import context\nif context.is_offline_mode():\n    context.configure(url='postgresql://')"
    + RUNS.replace("\n", "\n    "),
]
PARTS = {f"POSTGRES_{name}": part for name, part in {"USER": "{user}", "PASSWORD": "{password}", "SERVER": "{host}", "PORT": "{port}", "DB": "{database}"}.items()}  # fmt: skip


@pytest.fixture
def project(postgres_shop, tmp_path, monkeypatch):
    """A project of its own, with a migration, beside the shop's databases."""
    shop = postgres_shop[0]
    other = Shop.__new__(Shop)
    other.__dict__.update(shop.__dict__)
    other.project = Project(tmp_path / "mine")
    other.project.add("adds", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    return other


def test_a_url_that_is_made_of_parts_can_be_written(project, monkeypatch):
    url = project.url
    for name, value in zip(PARTS, (url.username, url.password, url.host, str(url.port), url.database), strict=True):
        monkeypatch.setenv(name, value)
    (project.project.folder / "migrations/env.py").write_text(FROM_PARTS)
    found, _ = rehearse(project)
    upgrade = found["db301-upgrade"]
    assert "unknown" == upgrade.outcome
    assert "is withheld, because it leads to a database" in upgrade.saw
    assert "`env:`" in upgrade.wanted
    assert "POSTGRES_SERVER" in upgrade.wanted
    found, _ = rehearse(project, env=PARTS)
    assert ("pass", "pass") == (found["db316-reach"].outcome, found["db310-downgrade"].outcome)


@pytest.mark.parametrize("written", OFFLINE)
def test_an_env_py_that_only_writes_sql_ran_nothing(written, project):
    (project.project.folder / "migrations/env.py").write_text(written)
    found, _ = rehearse(project)
    assert "unknown" == found["db301-upgrade"].outcome, found["db301-upgrade"]
    assert "run_migrations_online" in found["db301-upgrade"].wanted


def test_a_relative_place_of_the_scripts_is_meant_from_the_folder(project):
    folder = project.project.folder
    (folder / "etc").mkdir()
    (folder / "alembic.ini").rename(folder / "etc/alembic.ini")
    text = (folder / "etc/alembic.ini").read_text().replace("%(here)s/migrations", "migrations")
    (folder / "etc/alembic.ini").write_text(text)
    (folder / "smoke.py").write_text("open('etc/alembic.ini')")
    found, _ = rehearse(project, config="etc/alembic.ini", smoke=("python", "smoke.py"))
    assert ("pass", "pass") == (found["db310-downgrade"].outcome, found["db309-old-release"].outcome)
