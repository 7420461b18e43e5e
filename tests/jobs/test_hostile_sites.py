"""A round of a site that misbehaves: the words that a user reads, and the round goes on with the next route."""

import pytest
import trustme

from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import line
from tests import hostile
from tests.hostile import serving
from tests.jobs.conftest import ROLLBACK, site
from tests.probe.asking import tls

pytestmark = [pytest.mark.harness, pytest.mark.slow]

GOOD = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nX-Cache: MISS\r\nContent-Length: 4\r\n\r\nfine"
BOMB = hostile.bomb(50)


def rule(path):
    return {
        "name": path.strip("/"),
        "paths": [path],
        "cache": {"by": "nobody"},
        "examples": {"not_cached": [path]},
        "expected_result": "Nobody keeps it.",
        "rollback": ROLLBACK,
    }


def bad_at_first(*pieces, then=None):
    """Treats requests for /bad as told, and answers all others as it should."""

    def behave(visit):
        while request := visit.request():
            if request.startswith("GET /bad "):
                visit.send(*pieces)
                if then:
                    then(visit)
                return
            visit.send(GOOD)

    return behave


def trickle(visit):
    while not visit.stopped.is_set():
        visit.send(b"more " * 200)
        visit.stopped.wait(0.05)


CASES = [
    ("a body that never ends", bad_at_first(b"HTTP/1.1 200 OK\r\n\r\n", then=trickle), "no answer: no end after 1s"),
    ("no answer at all", bad_at_first(then=hostile.silent), "no answer: no answer after 1s"),
    (
        "a gzip bomb",
        bad_at_first(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB),
        "no answer: the body is larger than 1000000 bytes after decompression",
    ),
    ("a zero byte in a header", bad_at_first(b"HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: 0\r\n\r\n"), "no answer: "),
]  # fmt: skip


@pytest.mark.parametrize(("behaviour", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_a_route_that_misbehaves_is_unknown_and_the_next_one_is_judged(behaviour, says, inspect):
    with serving(behaviour) as server:
        written = site(f"http://{server.address}", [rule("/bad"), rule("/good")])
        written["manners"] = {"timeout": "1s", "max_body": 1_000_000, "rate": 500}
        report = await inspect(written, ["cache-headers"])
    bad, good = report.verdicts
    assert ("unknown", "pass") == (bad.outcome, good.outcome)
    (fault,) = group([bad])
    assert line(fault).startswith(f"UNKNOWN /bad  cache-headers/answers  saw {says}")
    assert line(fault).endswith("wanted an answer  owner web-platform")
    assert inspect.state().message.startswith("1 unknown, 1 passed; worst: UNKNOWN ")


async def test_a_certificate_for_another_name_is_told_by_the_name_that_was_asked(inspect, tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with serving(bad_at_first(), tls(authority, "other.example.com")) as server:
        port = server.address.rpartition(":")[2]
        written = site(f"https://localhost:{port}", [rule("/good"), rule("/fine")])
        report = await inspect(written, ["cache-headers", "rollback-ready"])
    for unknown, path in zip(report.verdicts, ("/good", "/fine"), strict=False):
        assert ("unknown", path) == (unknown.outcome, unknown.subject)
        assert "no answer: the certificate does not name localhost" == unknown.findings[0].saw
    assert ["warn", "warn"] == [ready.outcome for ready in report.verdicts[2:]]
