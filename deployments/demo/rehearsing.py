"""`make demo-rehearsal`: a release is rehearsed with its rollback, then one whose rollback does not work any more."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import yaml

from deployments.demo.__main__ import SITE_FILE, serving
from deployments.demo.release import build, deploy
from flows.commands.common import quiet_prefect
from roundsman.report.rules.verdict import Verdict
from roundsman.rollback.rules.judge_rehearsal import RehearsalOutcome
from roundsman.rollback.rules.plan import Leg, LegState, is_safe

NEXT = "Next: write release: into your site file (README.md, `Rehearse a release`), and: roundsman rehearse SITE"


def main() -> int:
    """Run the demo. Exit codes: 0 the good rollback was proven and the bad one found; 1 anything else."""
    with tempfile.TemporaryDirectory(prefix="roundsman-demo-") as folder:
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        os.environ["ROUNDSMAN_LEDGER_URL"] = f"sqlite:///{folder}/ledger.db"
        os.environ.pop("PREFECT_API_URL", None)
        quiet_prefect()
        shop = Path(folder) / "shop"
        build(shop, "1.8.1")
        deploy(shop, prune=False)
        with serving("--releases", str(shop)) as address:
            return conclude(*asyncio.run(rehearsals(Path(folder) / "demo.yaml", shop, address)))


async def rehearsals(
    site: Path, shop: Path, address: str
) -> tuple[RehearsalOutcome | None, RehearsalOutcome | None, list[Verdict]]:
    """Rehearse a release, and one whose deploy deletes what its rollback needs; then ask whether it could go back."""
    from flows import terminal
    from flows.commands.rehearse import rehearse, show
    from flows.jobs.inspect_site import Check

    done = []
    for version, more in (("1.8.2", []), ("1.8.3", ["--prune"])):
        build(shop, version)
        await asyncio.to_thread(site.write_text, written(address, shop, more), encoding="utf-8")
        print(f"\nRelease {version} is rehearsed{', whose deploy deletes the older ones' * bool(more)}:")
        one = await rehearse(str(site), dry_run=False)
        show(one)
        done.append(one.rehearsed)
    print("\nA round asks whether it could go back now:")
    report = await terminal.walk(str(site), [Check.ROLLBACK_READY])
    return done[0], done[1], [verdict for verdict in report.verdicts if not verdict.rule]


def written(address: str, shop: Path, more: list[str]) -> str:
    """The demo's site file as one of a staging site with real commands."""
    site = yaml.safe_load(SITE_FILE.read_text(encoding="utf-8"))
    command = ["python", "-m", "deployments.demo.release"]
    release = {
        "version": site["release"]["version"],
        "deploy": [*command, "deploy", str(shop), *more],
        "rollback": [*command, "rollback", str(shop)],
        "rehearsal": {"timeout": "1m", "settle": "5s"},
    }
    return yaml.safe_dump({**site, "base_url": address, "staging": True, "release": release}, sort_keys=False)


def conclude(good: RehearsalOutcome | None, bad: RehearsalOutcome | None, verdicts: list[Verdict]) -> int:
    """Say what came of it."""
    findings = [finding for verdict in verdicts for finding in verdict.findings]
    for finding in findings:
        print(f"{finding.outcome.upper()} release  {finding.claim}  saw {finding.saw}")
    failed = next((step for step in bad.state.steps if step.state is LegState.FAILED), None) if bad else None
    wrong = {
        "the good rollback was not proven": good is None or not good.ok,
        "the bad rollback was not found": failed is None
        or failed.leg is not Leg.ROLL_BACK
        or "gone" not in failed.detail,
        "the site was left where it was not seen to be good": bad is None or not is_safe(bad.state),
        "the round does not quote the rehearsal": not any("its rehearsal failed" in one.saw for one in findings),
    }
    for fault, holds in wrong.items():
        if holds:
            print(f"WRONG: {fault}")
    if any(wrong.values()):
        return 1
    print("\nOne rollback was executed and proven; one was found not to work before anybody needed it.")
    print(NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
