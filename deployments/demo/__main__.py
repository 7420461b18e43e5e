"""`make demo`: a small site behind a caching edge, with three faults planted, and one round that finds them."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.commands.common import quiet_prefect
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Outcome

#: What the demo does wrong: the failing claim of each check's subject.
PLANTED = {
    ("cache-headers/private", "/inbox"): "a member's page is marked public",
    ("cache-headers/edge-ttl", "/news"): "a page lives shorter than its rule promises",
    ("rollback-ready/command", "account"): "a rollback command does not exist",
}
WRITTEN_ADDRESS = "http://127.0.0.1:8480"
SITE_FILE = Path(__file__).with_name("site.yaml")


def main() -> int:
    """Run the demo. Exit codes: 0 exactly the planted faults were found, 1 anything else."""
    with tempfile.TemporaryDirectory(prefix="roundsman-demo-") as folder:
        for name in ("ADA", "BEN"):
            os.environ.setdefault(f"DEMO_{name}_PASSWORD", secrets.token_urlsafe(9))
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        os.environ["ROUNDSMAN_LEDGER_URL"] = f"sqlite:///{folder}/ledger.db"
        os.environ.pop("PREFECT_API_URL", None)
        quiet_prefect()
        with serving() as address:
            site = Path(folder) / "demo.yaml"
            site.write_text(SITE_FILE.read_text(encoding="utf-8").replace(WRITTEN_ADDRESS, address), encoding="utf-8")
            return conclude(walk(str(site)))


def walk(site: str) -> Report:
    """One round, shown."""
    from flows import terminal  # Prefect reads its settings when it is first imported

    report = asyncio.run(terminal.walk(site))
    terminal.show(report)
    return report


def conclude(report: Report) -> int:
    """Say whether the round found what was planted, and nothing else."""
    found = {
        (finding.claim, verdict.subject)
        for verdict in report.verdicts
        for finding in verdict.findings
        if finding.outcome in {Outcome.FAIL, Outcome.UNKNOWN}
    }
    print()
    for fault, says in PLANTED.items():
        print(f"planted: {says} ({fault[1]}): {'found' if fault in found else 'NOT FOUND'}")
    for claim, subject in sorted(found - PLANTED.keys()):
        print(f"not planted, yet found: {claim} on {subject}")
    if found != PLANTED.keys():
        return 1
    print("The round found exactly the faults that the demo plants.")
    print("Next, a first look at a page of your own: .venv/bin/roundsman inspect https://www.example.com/")
    return 0


class serving:  # noqa: N801 - reads as what it does
    """The demo site in a process of its own, for the length of a block; gives its address."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "deployments.demo.serve", "--port", "0", *self._words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own words
        said = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not said.startswith("serving "):
            self.__exit__()
            raise RuntimeError(f"the demo site did not start: saw {said!r}, wanted `serving http://...`")
        return said.removeprefix("serving ")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


if __name__ == "__main__":
    sys.exit(main())
