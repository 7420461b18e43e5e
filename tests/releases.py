"""Two releases of the demo's origin behind its caching edge, with commands that really switch between them."""

import asyncio
import multiprocessing
import os
import stat
from contextlib import contextmanager
from pathlib import Path

import yaml
from sqlalchemy import text

from deployments.demo.site import OriginState, edge, origin
from flows.tasks.site import load
from roundsman.batch import points
from roundsman.rollback.rehearse import take_up_here
from roundsman.rollback.rules.plan import COURSE, plan
from roundsman.rollback.steps import LegFailedError
from tests.crashing import crash_at
from tests.vendor_api import served

#: The second is what runs before a rehearsal, the third what its deploy brings. A rollback goes one release back.
RELEASES = ("1.8.0", "1.8.1", "1.8.2")
#: Children are forked from a process that has all of this imported: starting Python anew takes a second each.
children = multiprocessing.get_context("forkserver")
children.set_forkserver_preload(["tests.releases"])

SWITCH = """
test -d "releases/$wanted" || { echo "releases/$wanted is gone"; exit 4; }
echo "switching to $wanted with $DEPLOY_TOKEN"
[ "$KILL" = "$0 before" ] && { kill -9 "$RUNNER"; sleep 20; }
echo "$wanted" > current.new && mv current.new current
echo "$ROUNDSMAN_ENVIRONMENT $(basename "$0") $wanted" >> log
[ "$KILL" = "$0 after" ] && { kill -9 "$RUNNER"; sleep 20; }
true
"""
DEPLOY = f"#!/bin/sh\ncd @\nwanted=1.8.2\n{SWITCH}"
BACK = f"""#!/bin/sh
cd @
case $(cat current) in 1.8.2) wanted=1.8.1;; *) wanted=1.8.0;; esac
{SWITCH}"""
#: Rollbacks that do not work.
NOOP = "#!/bin/sh\ntrue\n"
HANGS = "#!/bin/sh\ncd @\n(sleep 300 & echo $! > grandchild; wait) &\nwait\n"
DEAF = "#!/bin/sh\ncd @\ntrap '' TERM\n(trap '' TERM; sleep 300 & echo $! > grandchild; wait) &\nwait\n"
ESCAPES = "#!/bin/sh\ncd @\nsetsid sh -c 'sleep 300 & echo $! > grandchild; wait' &\nwait\n"
BREAKS = "#!/bin/sh\ncd @\necho 9.9.9 > current\necho broken; exit 7\n"
HALF = "#!/bin/sh\ncd @\ntouch half\n" + BACK.partition("\n")[2]


class Place:
    """A folder of releases and the site that serves the current one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, ""
        for release in RELEASES:
            (folder / "releases" / release).mkdir(parents=True)
        self.write("deploy", DEPLOY)
        self.write("back", BACK)
        self.run(RELEASES[1])

    def write(self, name, script):
        path = self.folder / name
        path.write_text(script.replace("@", f"'{self.folder}'"))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, release):
        (self.folder / "current").write_text(release)

    @property
    def running(self):
        return (self.folder / "current").read_text().strip()

    @property
    def log(self):
        """What the commands did, in their order."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def app(self):
        """The demo's edge before an origin for each release: an article is revised in the newest one."""
        states = {release: OriginState(commit=release) for release in RELEASES}
        states["1.8.2"].revisions["tomatoes"] += 1
        origins = {release: origin(state) for release, state in states.items()}

        async def switching(scope, receive, send):
            if scope["type"] != "http":
                return
            if scope["path"] in {"/schema", "/data"}:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": (self.folder / scope["path"][1:]).read_bytes()})
                return
            if self.running not in origins or (scope["path"] == "/articles/tomatoes" and self.broken):
                await send({"type": "http.response.start", "status": 500, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await origins[self.running](scope, receive, send)

        return edge(switching)

    @property
    def broken(self):
        """Whether something is left behind by half a rollback."""
        return (self.folder / "half").exists() and self.running == "1.8.1"

    def site(self, **release):
        """The site file, as plain data."""
        rehearsal = {"settle": "300ms", "timeout": "20s", **release.pop("rehearsal", {})}
        return {
            "site": "demo",
            "base_url": self.address,
            "owner": "web-platform <web-oncall@example.com>",
            "staging": True,
            "health": {"path": "/health"},
            "manners": {"rate": 500, "timeout": "2s"},
            "rules": [
                {
                    "name": "articles",
                    "paths": ["/articles/**"],
                    "cache": {"by": "everyone"},
                    "examples": {"cached": ["/articles/tomatoes", "/articles/watering"]},
                    "expected_result": "A reader gets a copy.",
                    "rollback": {"note": "kept", "command": ["true"]},
                }
            ],
            "release": {
                "version": {"path": "/version", "json": "commit"},
                "deploy": [str(self.folder / "deploy")],
                "rollback": [str(self.folder / "back")],
                "rehearsal": rehearsal,
                **release,
            },
        }

    def written(self, **release):
        """The path of the site file."""
        path = self.folder / "demo.yaml"
        path.write_text(yaml.safe_dump(self.site(**release)))
        return str(path)


@contextmanager
def serving(folder):
    """A place whose site is served."""
    place = Place(folder)
    with served(place.app()) as place.address:
        yield place


def took(path, environment="staging"):
    """What a run takes up first: a new rehearsal, an old one, or nothing."""
    site = load(path)
    return take_up_here(plan(site, environment), "a-run")


async def course(run):
    """All legs of a rehearsal, as the job walks them."""
    for leg in COURSE:
        await run.run_leg(leg)


async def walked(run):
    """All legs of a rehearsal, and when one fails the way out, as the job's transaction does it."""
    try:
        await course(run)
    except LegFailedError:
        await run.end()


def killed_in(path, url, where, leg):
    """A run in a child that is killed in a leg; `where` is `begin`, or `before` or `after` a command's switch."""
    child = children.Process(target=_run, args=(path, url, where, leg))
    child.start()
    child.join(60)
    return child.exitcode


def _run(path, url, where, leg):
    os.environ["ROUNDSMAN_LEDGER_URL"] = url
    held = took(path)

    def hook(name):
        if name == f"rehearse.{leg}":
            if where == "begin":
                crash_at(name)(name)
            script = held.run.release.deploy if "deploy" in leg else held.run.release.rollback
            os.environ |= {"KILL": f"{script[0]} {where}", "RUNNER": str(os.getpid())}

    points.hook = hook
    asyncio.run(walked(held.run))


def let_expire(engine):
    """The lease is over, as if its time had passed."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE rehearsal_lease SET until_ms = 0"))


def gone(number):
    """Whether a process has ended; a killed one stays as a zombie until whoever adopted it looks."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
