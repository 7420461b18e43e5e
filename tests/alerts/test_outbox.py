"""Every message arrives once at least, and normally once, whatever breaks down on the way."""

import asyncio
import re
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from blocks.apprise import Apprise
from flows.tasks.alerts import deliver
from roundsman.alerts import channels
from roundsman.alerts import outbox as room
from roundsman.alerts.alerts import enqueue
from roundsman.alerts.outbox import Delivered, dead_letters
from roundsman.alerts.rules.notice import MAX_LINES, Notice
from roundsman.ledger.rules.delivery import DeliveryFailure
from roundsman.ledger.tables import OutboxRow
from roundsman.report.rules.verdict import Outcome
from tests.alerts.telling import a_report, keep_site, outbox, told, verdict, webhook, written
from tests.ledger.rounds import python
from tests.receiver import receiver

PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_url(monkeypatch, url):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)


@pytest.fixture
def server():
    with receiver() as server:
        yield server


@pytest.fixture
def site(server, tmp_path, monkeypatch):
    """A site with two channels, /ops and /web; the first one's path is a secret."""
    monkeypatch.setenv("OPS_PATH", "ops")
    blocks = {
        "custom-webhook/ops": webhook("ops", server.url("/{{path}}"), secrets={"path": {"env": "OPS_PATH"}}),
        "custom-webhook/web": webhook("web", server.url("/web")),
    }
    return keep_site(tmp_path, monkeypatch, written("ops", "web", blocks=blocks))


def put(ledger, *channels, text="text", key="key", kind="firing"):
    names = [name if "/" in name else f"custom-webhook/{name}" for name in channels or ("ops",)]
    enqueue(ledger, Notice("SUBJECT", text), dedup_key=key, kind=kind, channels=names, site="shop")


def change(ledger, **values):
    with Session(ledger) as session, session.begin():
        session.execute(update(OutboxRow).values(**values))


async def test_a_message_arrives_on_each_channel_once(ledger, site, server):
    await asyncio.to_thread(told, site, a_report(0, verdict()))
    assert Delivered(2, 0) == await deliver.fn()
    assert Delivered(0, 0) == await deliver.fn()
    for path in ("/ops", "/web"):
        [got] = server.got[path]
        assert "FIRING: site shop, cache-headers, /a" == got["subject"]
        assert 6 < len(got["body"].splitlines()) <= MAX_LINES
    assert all(row.sent_at and not row.lease_token and not row.error and row.attempts == 1 for row in outbox(ledger))


async def test_trouble_and_recovery_arrive_in_their_order(ledger, site, server):
    rounds = [a_report(0, verdict()), a_report(1, verdict(Outcome.PASS))]
    await asyncio.to_thread(told, site, *rounds)
    assert Delivered(4, 0) == await deliver.fn()
    assert ["FIRING", "RESOLVED"] == [got["subject"].partition(":")[0] for got in server.got["/ops"]]


async def test_a_failed_message_is_tried_again_later(ledger, site, server):
    server.statuses["/ops"] = 503
    put(ledger)
    assert Delivered(0, 1) == await deliver.fn()
    [row] = outbox(ledger)
    assert (1, None, "", None) == (row.attempts, row.sent_at, row.lease_token, row.lease_until)
    assert row.error.startswith("HTTPStatusError: Server error '503 Service Unavailable'")
    assert timedelta(seconds=10) < row.due_at - datetime.now(UTC) <= timedelta(seconds=15)
    server.statuses.clear()
    assert Delivered(0, 0) == await deliver.fn()
    change(ledger, due_at=PAST)
    assert Delivered(1, 0) == await deliver.fn()
    assert 1 == len(server.got["/ops"])
    assert (2, "") == (outbox(ledger)[0].attempts, outbox(ledger)[0].error)


@pytest.mark.parametrize(("attempts", "pause"), [(0, 15), (1, 30), (2, 60), (3, 120), (8, 120), (700, 120)])
async def test_each_failure_doubles_the_pause_up_to_two_minutes(ledger, site, server, attempts, pause):
    server.statuses["/ops"] = 500
    put(ledger)
    change(ledger, attempts=attempts)
    before = datetime.now(UTC)
    await deliver.fn()
    after = datetime.now(UTC)
    due = outbox(ledger)[0].due_at
    assert before + timedelta(seconds=pause * 3 / 4) <= due <= after + timedelta(seconds=pause)


@pytest.mark.parametrize(
    ("channel", "settings"),
    [
        ("custom-webhook/ops", {"url": "{{server}}/{{secret}}"}),
        ("custom-webhook/ops", {"url": "hush-hush://{{secret}}"}),
        ("custom-webhook/ops", {"url": "{{server}}/ops", "headers": {"X-Key": "\n{{secret}}"}}),
        ("apprise/ops", {"url": {"env": "LOGIN"}}),
        ("mattermost-webhook/ops", {"hostname": "127.0.0.1", "port": 1, "secure": False, "token": {"env": "SECRET"}}),
        ("discord-webhook/ops", {"webhook_id": {"env": "NOT_THERE"}, "webhook_token": {"env": "SECRET"}}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_an_error_is_kept_without_the_secrets_that_it_quotes(
    ledger, server, tmp_path, monkeypatch, channel, settings
):
    monkeypatch.setenv("SECRET", "hush-hush")
    monkeypatch.setenv("LOGIN", "json://ada:hush-hush@127.0.0.1:1/hush-hush")
    monkeypatch.setenv("SERVER", server.url(""))
    server.statuses["/hush-hush"] = 404
    if channel.startswith("custom"):
        settings = {"name": "ops", "secrets": {"server": {"env": "SERVER"}, "secret": {"env": "SECRET"}}, **settings}
    keep_site(tmp_path, monkeypatch, written(channel, blocks={channel: settings}))
    put(ledger, channel)
    assert Delivered(0, 1) == await deliver.fn()
    [row] = outbox(ledger)
    assert re.match(r"\w+: .{20}", row.error)
    assert "hush" not in row.error


async def test_a_broken_channel_does_not_hold_up_the_others(ledger, site, server, monkeypatch):
    monkeypatch.setattr(channels, "SEND_SECONDS", 2.0)
    server.waits["/ops"] = threading.Event()
    for number in range(3):
        put(ledger, "ops", "web", "no-such-type/ops", key=f"key-{number}")
    assert Delivered(3, 2) == await deliver.fn()
    assert 3 == len(server.got["/web"])
    errors = {row.channel: row.error for row in outbox(ledger) if row.attempts and not row.sent_at}
    assert "no end after 2s" == errors["custom-webhook/ops"]
    assert errors["no-such-type/ops"].startswith("BlockError: no-such-type/ops: saw no such block")


async def test_a_recovery_waits_until_its_trouble_was_told(ledger, site, server):
    server.statuses["/ops"] = 500
    put(ledger, key="one")
    await deliver.fn()
    server.statuses.clear()
    put(ledger, key="one", kind="resolved", text="resolved")
    put(ledger, key="two", text="another")
    assert Delivered(1, 0) == await deliver.fn()
    assert ["another"] == [got["body"] for got in server.got["/ops"]]
    change(ledger, due_at=PAST)
    assert Delivered(2, 0) == await deliver.fn()
    assert ["another", "text", "resolved"] == [got["body"] for got in server.got["/ops"]]


MANY = [f"/{letter}" for letter in "abcde"]


def many(outcome=Outcome.FAIL, subjects=MANY):
    return [verdict(outcome, subject) for subject in subjects]


def subjects(server):
    return [got["subject"].partition(":")[0] for got in server.got.get("/ops", [])]


async def test_the_recovery_of_many_waits_until_their_trouble_was_told(ledger, site, server):
    server.statuses["/ops"] = 500
    await asyncio.to_thread(told, site, a_report(0, *many()))
    assert Delivered(1, 1) == await deliver.fn()
    server.statuses.clear()
    await asyncio.to_thread(told, site, a_report(1, *many(Outcome.PASS)))
    assert Delivered(1, 0) == await deliver.fn()
    assert [] == subjects(server)
    change(ledger, due_at=PAST)
    assert Delivered(2, 0) == await deliver.fn()
    assert ["FIRING", "RESOLVED"] == subjects(server)
    assert all(row.sent_at and not row.error for row in outbox(ledger))
    assert Delivered(0, 0) == await deliver.fn()


async def test_a_message_that_tells_others_as_well_settles_them(ledger, site, server):
    """As earlier versions wrote them; they go out after an update."""
    for key in ("one", "two"):
        put(ledger, key=key)
    first, second = outbox(ledger)
    with Session(ledger) as session, session.begin():
        session.execute(update(OutboxRow).filter_by(id=second.id).values(told_with=first.id))
    server.statuses["/ops"] = 500
    assert Delivered(0, 1) == await deliver.fn()
    put(ledger, key="two", kind="resolved")
    server.statuses.clear()
    assert Delivered(0, 0) == await deliver.fn()
    change(ledger, due_at=PAST)
    assert Delivered(2, 0) == await deliver.fn()
    assert all(row.sent_at for row in outbox(ledger))


async def test_a_sender_that_lost_its_lease_settles_nothing(ledger, site, server):
    await asyncio.to_thread(told, site, a_report(0, *many()))
    dead, _ = await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    change(ledger, lease_until=PAST)
    await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    room._settle(ledger, dead, None)
    assert {None} == {row.sent_at for row in outbox(ledger)}


async def test_a_channel_that_works_again_hears_of_what_is_open_though_its_message_is_dead(ledger, site, server):
    await asyncio.to_thread(told, site, a_report(0, *many()))
    change(ledger, dead_at=PAST, due_at=PAST)
    server.statuses["/ops"] = 500
    assert Delivered(1, 1) == await deliver.fn()
    [dead] = dead_letters(ledger)
    assert (PAST, 1) == (dead.dead_at, dead.attempts)
    server.statuses.clear()
    assert Delivered(0, 0) == await deliver.fn()
    change(ledger, due_at=PAST)
    assert Delivered(1, 0) == await deliver.fn()
    assert (["FIRING"], []) == (subjects(server), dead_letters(ledger))
    assert Delivered(0, 0) == await deliver.fn()


async def test_what_is_dead_stays_dead_once_its_incident_is_over(ledger, site, server):
    await asyncio.to_thread(told, site, a_report(0, *many()))
    change(ledger, dead_at=PAST, due_at=PAST)
    await asyncio.to_thread(told, site, a_report(1, *many(Outcome.PASS)))
    assert Delivered(2, 0) == await deliver.fn()
    assert ["RESOLVED"] == subjects(server)


AHEAD_AND_BEHIND = [timedelta(seconds=seconds) for seconds in (-3600, -60, 0, 60, 3600)]


@pytest.mark.parametrize("off", AHEAD_AND_BEHIND)
async def test_a_worker_whose_clock_is_wrong_takes_no_message_that_another_one_holds(ledger, site, off, monkeypatch):
    put(ledger)
    await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    wrong_clock(monkeypatch, off)
    assert None is await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    assert [] == room._due_channels(ledger, ledger=True)


@pytest.mark.parametrize("off", AHEAD_AND_BEHIND)
async def test_a_worker_whose_clock_is_wrong_sends_and_holds_as_any_other(ledger, site, server, off, monkeypatch):
    wrong_clock(monkeypatch, off)
    put(ledger)
    row, _ = await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    monkeypatch.undo()
    assert timedelta(seconds=50) < row.lease_until - datetime.now(UTC) <= timedelta(seconds=60)
    wrong_clock(monkeypatch, off)
    room._settle(ledger, row, DeliveryFailure("no answer"))
    monkeypatch.undo()
    assert timedelta(seconds=5) < outbox(ledger)[0].due_at - datetime.now(UTC) <= timedelta(seconds=15)


def wrong_clock(monkeypatch, off):
    """In every module that asks for the time of day."""

    class Off(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + off

    for name in ("roundsman.alerts.outbox", "roundsman.alerts.alerts"):
        monkeypatch.setattr(f"{name}.datetime", Off)


async def test_only_so_many_are_sent_at_a_time(ledger, site, server):
    for number in range(5):
        put(ledger, key=f"key-{number}")
    assert Delivered(3, 0) == await deliver.fn(limit=3)
    assert Delivered(2, 0) == await deliver.fn(limit=3)


async def test_two_deliverers_at_once_send_a_message_once(ledger, site, server):
    answer = server.waits["/ops"] = threading.Event()
    put(ledger)
    first = asyncio.create_task(deliver.fn())
    await asyncio.to_thread(server.asked.wait, 30)
    assert Delivered(0, 0) == await deliver.fn()
    answer.set()
    assert Delivered(1, 0) == await first
    assert 1 == len(server.got["/ops"])


async def test_many_deliverers_share_the_work(ledger, site, server):
    for number in range(20):
        put(ledger, key=f"key-{number}", text=f"{number}")
    done = await asyncio.gather(*(deliver.fn() for _ in range(4)))
    assert (20, 0) == (sum(one.sent for one in done), sum(one.failed for one in done))
    assert sorted(map(str, range(20))) == sorted(got["body"] for got in server.got["/ops"])


async def test_a_lease_that_ended_is_taken_over_and_its_first_holder_changes_nothing(ledger, site, server):
    put(ledger)
    dead, _ = await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    assert Delivered(0, 0) == await deliver.fn()
    change(ledger, lease_until=PAST)
    server.statuses["/ops"] = 500
    assert Delivered(0, 1) == await deliver.fn()
    change(ledger, due_at=PAST)
    taken, _ = await asyncio.to_thread(room._take, ledger, ("shop", "custom-webhook/ops"))
    room._settle(ledger, dead, None)
    [row] = outbox(ledger)
    assert (None, taken.lease_token, 3) == (row.sent_at, row.lease_token, row.attempts)
    assert dead.lease_token != taken.lease_token


TELL_AND_STOP = """
import sys
from tests.alerts.telling import a_report, a_site, told, verdict

told(a_site("ops"), a_report(0, verdict()))
print("told", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
async def test_a_crash_between_the_alert_and_the_message_loses_nothing(ledger, site, server):
    with python(TELL_AND_STOP) as teller:
        assert b"told\n" == teller.stdout.readline()
        teller.kill()
    assert -signal.SIGKILL == teller.returncode
    assert Delivered(1, 0) == await deliver.fn()
    assert ["FIRING: site shop, cache-headers, /a"] == [got["subject"] for got in server.got["/ops"]]


DELIVER = """
import asyncio, sys
from pathlib import Path
from roundsman.site import site_file
from flows.tasks.alerts import deliver

site_file.SITES = Path(sys.argv[1])
asyncio.run(deliver.fn())
"""


@pytest.mark.slow
async def test_a_sender_killed_while_sending_is_followed_by_another(ledger, site, server, tmp_path):
    server.waits["/ops"] = threading.Event()
    put(ledger)
    with python(DELIVER, str(tmp_path)) as sender:
        assert await asyncio.to_thread(server.asked.wait, 60)
        sender.kill()
    assert -signal.SIGKILL == sender.returncode
    server.waits.pop("/ops").set()
    assert Delivered(0, 0) == await deliver.fn()
    [row] = outbox(ledger)
    assert timedelta(seconds=20) < row.lease_until - datetime.now(UTC) < timedelta(seconds=60)
    change(ledger, lease_until=PAST)
    assert Delivered(1, 0) == await deliver.fn()


@pytest.mark.harness
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
async def test_a_channel_that_no_file_declares_comes_from_prefect(prefect, ledger, site, server):
    await Apprise(url=server.url("/kept", "json")).save("kept", overwrite=True)
    for place in ("shop", "a-site-elsewhere"):
        message = {"dedup_key": place, "kind": "firing", "channels": ["apprise/kept"], "site": place}
        enqueue(ledger, Notice("SUBJECT", place), **message)
    assert Delivered(2, 0) == await deliver()
    assert ["a-site-elsewhere", "shop"] == sorted(got["message"] for got in server.got["/kept"])
