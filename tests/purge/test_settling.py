"""How long an accepted purge is waited for, and that no later answer makes it a failure."""

import json

import httpx
import pytest

from blocks.akamai import Akamai
from blocks.google_cdn import GoogleCDN
from roundsman.purge import prove
from roundsman.purge.prove import AcceptedPlan, until_done
from roundsman.purge.rules.order import PurgeError, Receipt

GOOGLE = GoogleCDN(project="p", url_map="m", token="hush-4711")
AKAMAI = Akamai(api="https://a.example", client_token="x", client_secret="x", access_token="x")
ACCEPTED = Receipt("", (), 200, 0.0, absent=False, answer="", ticket="operation-1")
QUOTA = (403, {"error": {"errors": [{"reason": "rateLimitExceeded"}]}})
RUNNING, DONE = ((200, {"name": "operation-1", "status": status}) for status in ("RUNNING", "DONE"))
GONE, BROKEN = (404, {}), (503, {})
FAILED = (200, {"name": "operation-1", "status": "DONE", "error": {"errors": [{"code": "INVALID"}]}})


@pytest.fixture
def waited(monkeypatch):
    """The pauses, which take no time."""
    at, pauses = [0.0], []

    async def sleep(seconds):
        pauses.append(round(seconds, 6))
        at[0] += seconds

    monkeypatch.setattr(prove, "now", lambda: at[0])
    monkeypatch.setattr("roundsman.purge.prove.asyncio.sleep", sleep)
    return pauses


async def settled(*answers, edge=GOOGLE, **how):
    """What is said in the end; the last answer is given again and again."""
    left = list(answers)

    def answer(_):
        status, said = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(status, text=json.dumps(said))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await until_done(AcceptedPlan(0.0, open=((edge, ACCEPTED),)), client, **how)


async def test_a_used_up_quota_is_asked_again_after_a_minute_and_then_the_purge_is_done(waited):
    assert "" == await settled(RUNNING, QUOTA, DONE)
    assert [0.25, 60.0] == waited


@pytest.mark.parametrize("answer", [QUOTA, BROKEN, (429, {})], ids=["quota", "broken", "429"])
async def test_where_nobody_answers_for_as_long_as_the_vendor_promises_the_purge_counts_as_done(waited, answer):
    """As with a vendor that can't be asked at all."""
    assert "" == await settled(answer)
    assert GOOGLE.settles_within == sum(waited)


async def test_less_patience_than_the_vendor_promises_is_no_proof_that_it_is_done(waited):
    assert "Google Cloud CDN took the purge, and had not done it after 30s" == await settled(QUOTA, patience=30.0)


async def test_what_says_that_it_still_runs_is_not_done_when_the_promise_is_over(waited):
    assert "took the purge, and had not done it" in await settled(RUNNING)


@pytest.mark.parametrize(("linger", "seconds"), [(True, 120.0), (False, 0.0)])
async def test_a_question_that_is_refused_leaves_the_vendor_s_promise(waited, linger, seconds):
    assert "" == await settled(GONE, linger=linger)
    assert seconds == sum(waited)


async def test_only_the_operation_itself_says_that_the_purge_failed(waited):
    with pytest.raises(PurgeError, match="failed to purge: INVALID"):
        await settled(RUNNING, FAILED)
