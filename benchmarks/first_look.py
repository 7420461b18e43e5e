"""A first look: how long a stranger waits, and what it says of real header sets. By name only.

`python -m benchmarks first_look` measures the times, with the installed REDbot's command beside, if there is one.

The header sets are not part of the project. ROUNDSMAN_HEADERS names a file of JSON lines, one for each answer:
`{"host": "www.example.com", "path": "/", "status": 200, "headers": [["age", "3"], ...], "source": "..."}`.
Each set is judged as `inspect URL` judges an address, with the same answer to every visit. The table has the share of
each outcome by claim; each set that fails stands in a line of its own on standard error, for people to judge.
"""

import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from deployments.specs import ROOT
from roundsman.cache.rules.judge import VISITS, judge
from roundsman.http.cache_status import CacheState, cache_state
from roundsman.http.fields import http_date
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.report.rules.verdict import Outcome, Verdict
from roundsman.report.rules.visitor import STRANGER
from roundsman.site.rules.first_look import infer

BY_NAME = True

Row = tuple[str, str, str, bool]

NAMED_BY = "ROUNDSMAN_HEADERS"
#: Of each time, of which the median is shown.
REPEATS = 5
#: Hosts that say something about the web at large, and what may be wrong of all sets.
HOSTS, MOST_FALSE = 500, 0.02
#: Seconds that an answer took, and the year that two digits of a year are read by; a set says neither.
TOOK, YEAR = 0.1, 2026
#: A header's name that speaks of a cache, and a value that says what the cache did, read without any vendor's rules.
_NAME = re.compile(r"cache|x-ac$|x-nc$|nananana", re.IGNORECASE)
_SILENT = re.compile(r"control|key|tag|api|object|query", re.IGNORECASE)
_SAYS = re.compile(r"\b(?:hit|miss|stale|expired|revalidated|bypass|updating)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeaderSet:
    """One answer of a real host."""

    host: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...]

    @property
    def url(self) -> str:
        """Where it came from."""
        return f"https://{self.host}{self.path}"

    @property
    def speaks(self) -> bool:
        """Whether a header seems to say what a cache did."""
        return any(
            _NAME.search(name) and not _SILENT.search(name) and _SAYS.search(said) for name, said in self.headers
        )


def rows() -> list[Row]:
    """The times; then a row for each claim that does not always pass, and three for what must hold."""
    path = os.environ.get(NAMED_BY, "")
    waited = list(times())
    if not path:
        return [*waited, ("first looks at real header sets", "none", f"a file, named by {NAMED_BY}", True)]
    sets = list(read(Path(path)))
    verdicts = [first_look(one) for one in sets]
    outcomes = Counter((found.claim, found.outcome) for one in verdicts for found in one.findings)
    failed = [(one, verdict) for one, verdict in zip(sets, verdicts, strict=True) if verdict.outcome is Outcome.FAIL]
    for one, verdict in failed:
        sys.stderr.writelines(_line(one, verdict))
    mute = [one for one in sets if one.speaks and _state(one) is CacheState.UNKNOWN]
    sys.stderr.writelines(f"unknown although a header speaks: {one.url} {_shown(one)}\n" for one in mute)
    hosts = len({one.host for one in sets})
    total = Counter(verdict.outcome for verdict in verdicts)
    said = ", ".join(f"{total[one]} {one} ({total[one] / len(sets):.1%})" for one in Outcome)
    return [
        *waited,
        ("hosts, and sets", f"{hosts:,} and {len(sets):,}", f"at least {HOSTS} hosts", hosts >= HOSTS),
        ("first looks", said, "shown only", True),
        *_by_claim(outcomes, len(sets)),
        (
            "fail; how many of these are false is for people to say",
            f"{len(failed)} ({len(failed) / len(sets):.1%})",
            f"at most {MOST_FALSE:.0%} of the sets false",
            True,
        ),
        ("unknown although a header speaks", str(len(mute)), "none", not mute),
    ]


def read(path: Path) -> Iterator[HeaderSet]:
    """The sets of a file of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            said = json.loads(line)
            headers = tuple((name, value) for name, value in said["headers"])
            yield HeaderSet(said["host"], said["path"] or "/", said["status"], headers)


def first_look(one: HeaderSet) -> Verdict:
    """The verdict of `inspect URL` on a host that answers each visit alike."""
    site = infer(f"https://{one.host}/")
    rule = site.rules[0]
    return judge(site, rule, rule.routes[0], _visits(one), STRANGER)


def _visits(one: HeaderSet) -> list[Exchange]:
    """Equal answers; the clock is that of the answer's Date, or one that stands still."""
    dates = [http_date(value, YEAR) for name, value in one.headers if name.lower() == "date"]
    made = next((at for at in dates if at is not None), 0)
    exchange = Exchange(
        Probe(one.url),
        due=made,
        started=made,
        phases=Phases(first_byte=TOOK, total=TOOK),
        status=one.status,
        headers=one.headers,
    )
    return [replace(exchange, reused=bool(number)) for number in range(VISITS)]


def _state(one: HeaderSet) -> CacheState:
    return cache_state(_visits(one)[0])


def _by_claim(outcomes: Counter[tuple[str, Outcome]], sets: int) -> Iterator[Row]:
    for claim in sorted({claim for claim, outcome in outcomes if outcome is not Outcome.PASS}):
        said = ", ".join(
            f"{count} {outcome} ({count / sets:.1%})" for outcome in Outcome if (count := outcomes[claim, outcome])
        )
        yield claim, said, "shown only", True


def _line(one: HeaderSet, verdict: Verdict) -> Iterator[str]:
    for found in verdict.findings:
        if found.outcome is Outcome.FAIL:
            yield f"{one.status} {one.url} {found.claim}: {found.saw} [{_shown(one)}]\n"


def _shown(one: HeaderSet) -> str:
    return "; ".join(f"{name}: {value}" for name, value in one.headers)


class _Page(BaseHTTPRequestHandler):
    """A page that a shared cache may keep, and the time at which it was first asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(time.monotonic())
        self.send_response(200)
        for name, value in (("Content-Type", "text/html"), ("Cache-Control", "max-age=60"), ("Content-Length", "2")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, *_: object) -> None:
        pass


def times() -> Iterator[Row]:
    """How long a stranger waits: for a verdict, a refusal, the first request of a round, and after Ctrl-C."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with TemporaryDirectory() as folder:
        home = Path(folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ROUNDSMAN_"))}
        variables = kept | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": f"{home}/prefect"}

        def seconds(*words: str) -> float:
            begun = time.monotonic()
            subprocess.run(words, cwd=home, env=variables, capture_output=True, check=False)
            return time.monotonic() - begun

        command = (sys.executable, "-m", "roundsman")
        (home / "wrong.yaml").write_text("site: shop\n")
        yield _median("verdict on a page of this machine", 1.5, lambda: seconds(*command, "inspect", url))
        if redbot := shutil.which("redbot"):
            yield _median("REDbot's command on the same page", math.inf, lambda: seconds(redbot, url))
        yield _median("`roundsman --help`", 0.4, lambda: seconds(*command, "--help"))
        yield _median("a wrong site file is refused", 1.0, lambda: seconds(*command, "lint", "wrong.yaml"))
        _site(home, url)
        first: list[float] = []
        stopped: list[float] = []
        for _ in range(REPEATS):
            server.asked.clear()
            begun = time.monotonic()
            with subprocess.Popen(
                [*command, "inspect", "sites/own.yaml"],
                cwd=home,
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as round_:
                while not server.asked and round_.poll() is None:
                    time.sleep(0.01)
                first.append(server.asked[0] - begun if server.asked else math.inf)
                begun = time.monotonic()
                round_.send_signal(signal.SIGINT)
                round_.wait()
                stopped.append(time.monotonic() - begun)
        yield _row("the first request of a round, the first time", first[0], math.inf)
        yield _row("the first request of a round, later", statistics.median(first[1:]), 6)
        yield _row("from Ctrl-C in a round to its end", statistics.median(stopped), 2)


def _site(home: Path, url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "roundsman", "init", str(home), url], check=True, capture_output=True, cwd=ROOT
    )
    [path] = (home / "sites").glob("*.yaml")
    (home / "sites" / "own.yaml").write_text(re.sub(r"(?m)^site: .*", "site: own", path.read_text()))
    path.unlink()


def _median(what: str, most: float, once: Callable[[], float]) -> Row:
    return _row(what, statistics.median(once() for _ in range(REPEATS)), most)


def _row(what: str, seconds: float, most: float) -> Row:
    return what, f"{seconds:.2f} s", "shown only" if most == math.inf else f"at most {most:g} s", seconds <= most
