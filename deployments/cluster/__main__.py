"""`make cluster`: a fleet on this machine sweeps a shop, a worker and an API server are killed, and nothing is lost.

PostgreSQL, Redis, two API servers behind a balancer, two background services and three workers, for as long as the
sweep takes. `python -m deployments.cluster [--pages 20000] [--rate 400]`.
"""

import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import yaml
from rich.console import Console

from deployments.cluster.parts import WORKERS, Cluster, MissingError, check, free_places
from deployments.parts import Part, PartError, Parts, StoppedError
from roundsman.cli.parser import CommandParser, whole_number

DONE, FAILED, WRONG_INPUT = 0, 1, 3
#: Seconds after which the shard of a worker that was killed goes to another one; here nothing is slow.
LEASE_SECONDS = "20"
_TIMEOUT_SECONDS = 900.0


@dataclass(frozen=True)
class SweepSeen:
    """What became of the pages. A page is known by its shard and its place there; paths are those of the sitemap."""

    listed: int
    looked_at: Counter[str]
    summary: str
    runs: Counter[str]
    """Runs of shards by how they ended."""
    killed: tuple[str, ...]

    @property
    def lost(self) -> int:
        """Pages that nobody looked at."""
        return self.listed - len(self.looked_at)

    @property
    def doubled(self) -> int:
        """Pages that are written down more than once."""
        return sum(count - 1 for count in self.looked_at.values())


def main(words: list[str] | None = None) -> int:
    """Run it. Exit codes: 0 nothing was lost or doubled, 1 anything else, 3 a program is missing."""
    parser = CommandParser(prog="python -m deployments.cluster", description="A fleet on this machine.")
    parser.add_argument("--pages", type=whole_number, default=20_000, help="of the shop (default: %(default)s)")
    parser.add_argument(
        "--rate", type=whole_number, default=400, help="requests a second, all together (default: %(default)s)"
    )
    try:
        args = parser.parse_args(words)
        check()
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else DONE
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_INPUT
    try:
        seen = run(args.pages, args.rate)
    except StoppedError:
        return FAILED
    except PartError as error:
        sys.stderr.write("\n".join([f"{error}; its last lines:", *error.part.last, ""]))
        return FAILED
    return conclude(seen)


def conclude(seen: SweepSeen) -> int:
    """Say what was seen, and whether it is as it should be."""
    ended = ", ".join(f"{count} {state.lower()}" for state, count in sorted(seen.runs.items()))
    print(f"Killed: {', '.join(seen.killed)}. Runs of shards: {ended}.")
    print(seen.summary)
    print(f"{seen.listed:,} pages were listed, {seen.lost:,} lost, {seen.doubled:,} doubled.")
    fine = bool(seen.listed) and not seen.lost and not seen.doubled and len(seen.killed) == 2
    return DONE if fine else FAILED


def run(pages: int, rate: int) -> SweepSeen:
    """Start the cluster, sweep, kill two of its parts meanwhile, and count.

    Raises:
        PartError: a part ended that nobody killed, or was not ready in time.
        StoppedError: somebody asked for the end.
    """
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="roundsman-cluster-") as name, Parts(console, width=10) as parts:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = Cluster(parts, folder, free_places(secrets.token_hex(16)), pages)
        cluster.client["ROUNDSMAN_SWEEP_LEASE"] = LEASE_SECONDS
        parts.say("cluster", "starting PostgreSQL, Redis, a balancer, two API servers and two background services")
        cluster.open()
        _promise(folder, cluster.places.shop, pages, rate)
        command = [sys.executable, "-m", "deployments.cluster.sweeping", "deploy", name]
        parts.finish("deploy", command, cluster.client, hide=".*")
        parts.say("cluster", f"starting {WORKERS} workers")
        cluster.work()
        begun = time.monotonic()
        command = [sys.executable, "-m", "deployments.cluster.sweeping", "sweep", name]
        sweep = parts.start("sweep", command, cluster.client, hide=".*")
        killed = _kill_two(cluster, sweep)
        parts.await_end(sweep, _TIMEOUT_SECONDS)
        parts.say("cluster", f"the sweep ended after {time.monotonic() - begun:.0f} s; counting")
        return _count(folder, cluster, killed)


def _promise(folder: Path, shop: int, pages: int, rate: int) -> None:
    rule = {
        "name": "articles",
        "paths": ["/articles/**"],
        "cache": {"by": "everyone", "edge_ttl": "5m..1h"},
        "examples": {"cached": ["/articles/1"]},
        "expected_result": "A copy at most an hour old.",
        "rollback": {"note": "kept", "command": ["true"]},
    }
    site = {
        "site": "shop",
        "base_url": f"http://127.0.0.1:{shop}",
        "owner": "web <web@shop.test>",
        "rules": [rule],
        "sweep": {"rate": rate, "workers": 2 * WORKERS, "shard": max(100, pages // (2 * WORKERS))},
        "schedule": {"inspect": "daily", "sweep": "daily"},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(site))


def _kill_two(cluster: Cluster, sweep: Part) -> tuple[str, ...]:
    """Kill a worker that looks at pages, with its runs, as when its machine goes; then an API server."""
    found: list[Part] = []

    def busy() -> bool:
        claimed = _claimed(cluster)
        # None of its runs is still starting: of a run that was killed then, the sweep knows only after minutes.
        found[:] = [one for one in cluster.workers if (runs := set(_runs_of(one))) and runs <= claimed]
        return bool(found)

    cluster.parts.until(sweep, busy, _TIMEOUT_SECONDS)
    worker, server = found[0], cluster.servers[0]
    runs = _runs_of(worker)
    cluster.parts.kill(worker, also=runs)
    cluster.parts.say("cluster", f"killed {worker.name} and {len(runs)} of its runs")
    before = _pages_of(cluster)
    cluster.parts.until(sweep, lambda: _pages_of(cluster) > before, _TIMEOUT_SECONDS)
    cluster.parts.kill(server)
    cluster.parts.say("cluster", f"killed {server.name}")
    return worker.name, server.name


def _runs_of(worker: Part) -> list[int]:
    """The processes that a worker has started."""
    try:
        return list(
            map(int, Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split())
        )
    except OSError:
        return []


def _claimed(cluster: Cluster) -> set[int]:
    """The processes of runs that have looked at some pages of their shard."""
    busy = "SELECT run_id FROM import_job WHERE status = 'running' AND position > 0"
    runs = {run for (run,) in _ask(cluster, busy)}
    children = [child for worker in cluster.workers for child in _runs_of(worker)]
    return {child for child in children if any(run in _environment(child) for run in runs)}


def _environment(process: int) -> str:
    """What a process was started with, the run's id among it; nothing when it is gone."""
    try:
        return Path(f"/proc/{process}/environ").read_text(errors="replace")
    except OSError:
        return ""


def _pages_of(cluster: Cluster) -> int:
    """Pages that were looked at until now."""
    return sum(count for (count,) in _ask(cluster, "SELECT count(*) FROM sweep_page"))


def _ask(cluster: Cluster, question: LiteralString) -> list[Any]:
    import psycopg  # noqa: PLC0415 - an extra

    try:
        with psycopg.connect(cluster.places.postgresql("ledger")) as connection:
            return connection.execute(question).fetchall()
    except psycopg.errors.UndefinedTable:  # nobody has opened the ledger yet
        return []


def _count(folder: Path, cluster: Cluster, killed: tuple[str, ...]) -> SweepSeen:
    command = [sys.executable, "-m", "deployments.cluster.sweeping", "count", str(folder)]
    said = subprocess.run(command, env=cluster.client, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words
    facts = yaml.safe_load(said)
    return SweepSeen(facts["listed"], Counter(facts["looked_at"]), facts["summary"], Counter(facts["runs"]), killed)


if __name__ == "__main__":
    sys.exit(main())
