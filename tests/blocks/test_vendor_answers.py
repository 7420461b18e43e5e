"""How a vendor's answers are read, what it waits for, and what its purge takes with it."""

import json

import httpx
import pytest

from blocks.akamai import Akamai
from blocks.azure_front_door import AzureFrontDoor
from blocks.bunny import Bunny
from blocks.cloudflare import Cloudflare
from blocks.cloudfront import CloudFront
from blocks.fastly import Fastly
from blocks.google_cdn import GoogleCDN
from blocks.keycdn import KeyCDN
from blocks.nginx import NginxRefresh
from blocks.purge import By, Order, PurgeError, Receipt
from blocks.squid import Squid
from blocks.varnish import Varnish
from flows.rules.purge_queue import SLOWEST
from tests.blocks.vendors import AZURE, NODE, SECRET, VENDORS, hosted, slug
from tests.blocks.wire import Wire
from tests.vendor_api import VendorApi

CLOUDFLARE, FASTLY, CLOUDFRONT, AKAMAI, BUNNY, KEYCDN, GOOGLE, AZURE_FD = hosted()
WWW = "https://www.example.com"


def order(by, *items, **more):
    return Order(by, items, **more)


def aws_error(code):
    said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>Processing your request.</Message></Error>"
    return f'<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">{said}</ErrorResponse>'


@pytest.mark.parametrize("vendor", [vendor for vendor in hosted() if slug(vendor) != "bunny"], ids=slug)
async def test_a_good_status_that_means_no_is_a_refusal_for_good_or_fails_when_it_is_done(vendor):
    api = VendorApi()
    api.unsuccessful = True

    async def purge(client):
        [receipt] = await vendor.purge([f"{WWW}/a"], client=client)
        await vendor.settled(receipt, client)

    async with api.client() as client:
        with pytest.raises(PurgeError, match=r"refused the purge with status 20\d: .|purge ended with Failed") as error:
            await purge(client)
    assert error.value.permanent or slug(vendor) == "azure-front-door"


@pytest.mark.parametrize(
    ("vendor", "by", "text"),
    [
        *((vendor, By.URL, "<html>proxy</html>") for vendor in hosted() if slug(vendor) not in {"bunny", "azure-front-door"}),
        *((vendor, By.URL, "[]") for vendor in (FASTLY, AKAMAI, KEYCDN, GOOGLE)),
        (FASTLY, By.KEY, '{"a": "108-1"}'),
        (NginxRefresh(value=SECRET), By.URL, "a page from the store"),
    ],
)  # fmt: skip
async def test_an_answer_in_other_words_is_a_refusal(vendor, by, text):
    """A proxy's page, a list, or one key of two."""
    async with Wire(200, text).client() as client:
        with pytest.raises(PurgeError, match="refused the purge with status 200") as error:
            await vendor.purge(["a", "b"] if by is By.KEY else [f"{WWW}/a"], by, client)
    assert error.value.permanent


@pytest.mark.parametrize("vendor", [CLOUDFRONT, GOOGLE, AZURE_FD], ids=slug)
async def test_a_purge_that_is_done_later_says_when(vendor):
    """Asked twice it is not yet through, and then it is."""
    api = VendorApi()
    api.polls = 2
    async with api.client() as client:
        [receipt] = await vendor.purge([f"{WWW}/a"], client=client)
        said = [await vendor.settled(receipt, client) for _ in range(3)]
    assert [False, False, True] == said
    assert vendor.settles_within > 0


@pytest.mark.parametrize(
    "wire", [Wire(429), Wire(503), Wire(400, aws_error("Throttling")), Wire(trouble=httpx.ReadTimeout("late"))]
)
async def test_a_question_that_is_not_answered_for_now_is_no_news_of_the_purge(wire):
    """To purge again for it would begin anew what is nearly done."""
    async with wire.client() as client:
        assert (
            await CLOUDFRONT.settled(Receipt("", (), 201, 0.0, absent=False, answer="", ticket="I1"), client) is False
        )


async def test_a_question_that_is_refused_for_good_is_an_error():
    async with Wire(403).client() as client:
        with pytest.raises(PurgeError, match="answered 403"):
            await CLOUDFRONT.settled(Receipt("", (), 201, 0.0, absent=False, answer="", ticket="I1"), client)


def test_a_run_of_the_purge_queue_waits_for_the_slowest_vendor():
    assert SLOWEST == max(vendor.settles_within for vendor in VENDORS)


@pytest.mark.parametrize(
    "error", [{"errors": [{"code": "QUOTA_EXCEEDED", "message": "later"}]}, {"errors": [{"code": "X"}]}]
)
async def test_a_purge_that_fails_after_all_is_an_error(error):
    """Google says DONE of an operation that did nothing."""
    said = {"name": "operation-1", "status": "DONE", "error": error}
    receipt = Receipt("", (), 200, 0.0, absent=False, answer="", ticket="operation-1")
    async with Wire(200, json.dumps(said)).client() as client:
        with pytest.raises(PurgeError, match=f"failed to purge: {error['errors'][0]['code']}"):
            await GOOGLE.settled(receipt, client)


async def test_who_says_nothing_of_the_end_is_waited_for_and_who_needs_no_end_is_done():
    api = VendorApi()
    async with api.client() as client:
        [receipt] = await AKAMAI.purge([f"{WWW}/a"], client=client)
        assert await AKAMAI.settled(receipt, client) is None
    async with Wire().client() as client:
        edge = Varnish(nodes=[NODE])
        [receipt] = await edge.purge([f"{WWW}/a"], client=client)
        assert await edge.settled(receipt, client) is True


async def test_azure_s_token_goes_to_azure_only():
    """Where an answer says to ask is what anybody on the way can write."""
    wire = Wire(202, "", {"azure-asyncoperation": "https://elsewhere.example/operations/1"})
    async with wire.client() as client:
        [receipt] = await AZURE_FD.purge([f"{WWW}/a"], client=client)
        with pytest.raises(PurgeError, match=r"operation is at elsewhere\.example"):
            await AZURE_FD.settled(receipt, client)
    assert len(wire.asked) == 1


async def test_the_same_order_twice_is_one_purge_where_the_vendor_knows_it_again():
    """And the next purge of the same page is another one."""
    for vendor in (CLOUDFRONT, GOOGLE):
        api = VendorApi()
        async with api.client() as client:
            wanted = [order(By.URL, f"{WWW}/a", key=key) for key in ("one", "one", "two")]
            tickets = [(await vendor.send(each, client)).ticket for each in wanted]
        assert vendor.once
        assert tickets[0] == tickets[1] != tickets[2]


@pytest.mark.parametrize("vendor", hosted(), ids=slug)
async def test_a_short_wait_is_kept_and_the_purge_then_succeeds(vendor, monkeypatch):
    """A 429 was not done, so that it is sent again once the vendor said when."""
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("blocks.edge.asyncio.sleep", sleep)
    api = VendorApi()
    api.limited = ["3"]
    async with api.client() as client:
        await vendor.purge([f"{WWW}/a"], client=client)
    assert [3.0] == waited
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("limited", "asked", "wait"),
    [(["60"], 1, 60.0), (["0", "0"], 2, 0.0), (["soon"], 1, None), (["Thu, 01 Oct 2026 10:00:30 GMT"], 1, None)],
)
async def test_a_long_wait_or_a_second_one_is_told_to_the_caller(limited, asked, wait):
    """Nobody keeps a worker for a minute; the queue does."""
    api = VendorApi()
    api.limited = list(limited)
    async with api.client() as client:
        with pytest.raises(PurgeError, match="answered 429") as error:
            await CLOUDFLARE.purge([f"{WWW}/a"], client=client)
    assert (False, False, wait) == (error.value.permanent, error.value.unknown, error.value.retry_after)
    assert asked == len(api.asked)


async def test_a_date_to_retry_after_is_read_by_the_other_side_s_clock():
    dates = {"Retry-After": "Thu, 01 Oct 2026 10:01:30 GMT", "Date": "Thu, 01 Oct 2026 10:00:00 GMT"}
    async with Wire(429, "", dates).client() as client:
        with pytest.raises(PurgeError) as error:
            await CLOUDFLARE.purge([f"{WWW}/a"], client=client)
    assert error.value.retry_after == 90.0


@pytest.mark.parametrize(
    ("wire", "unknown"),
    [
        (Wire(trouble=httpx.ReadTimeout("late")), True),
        (Wire(trouble=httpx.RemoteProtocolError("cut off")), True),
        (Wire(trouble=httpx.ConnectError("refused")), False),
        (Wire(trouble=httpx.ConnectTimeout("far")), False),
        (Wire(504), True),
        (Wire(500), True),
        (Wire(503), False),
        (Wire(429), False),
        (Wire(403), False),
    ],
    ids=lambda case: str(case.trouble or case.reply[0]) if isinstance(case, Wire) else case,
)
async def test_a_purge_that_may_have_happened_is_told_apart_and_sent_once(wire, unknown):
    wire.asked.clear()
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await FASTLY.purge([f"{WWW}/a"], client=client)
    assert unknown is error.value.unknown
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (400, "TooManyInvalidationsInProgress", False),
        (400, "Throttling", False),
        (400, "ThrottlingException", False),
        (503, "ServiceUnavailable", False),
        (400, "InvalidArgument", True),
        (400, "InvalidationBatchAlreadyExists", True),
        (403, "Throttling", True),
    ],
)
async def test_cloudfront_s_400_of_too_many_at_once_is_no_refusal_for_good(status, code, permanent):
    """Everything that waits would be given up at once."""
    async with Wire(status, aws_error(code)).client() as client:
        with pytest.raises(PurgeError, match=code) as error:
            await CLOUDFRONT.purge([f"{WWW}/a"], client=client)
    assert permanent is error.value.permanent
    assert permanent is not ("purge again later" in str(error.value))


@pytest.mark.parametrize(
    ("vendor", "url"),
    [
        (BUNNY, f"{WWW}/assets/"),
        (BUNNY, f"{WWW}/assets/?x=1"),
        (BUNNY, WWW),
        (CLOUDFRONT, f"{WWW}/#tag"),
        (CLOUDFRONT, f"{WWW}/a*"),
        (GOOGLE, f"{WWW}/a?x=1"),
        (AZURE_FD, f"{WWW}/a?x=1"),
    ],
)
async def test_what_one_vendor_takes_for_more_is_refused_for_this_vendor(vendor, url):
    wire = Wire()
    async with wire.client() as client:
        with pytest.raises(ValueError, match=r"wanted .*nothing was purged"):
            await vendor.purge([f"{WWW}/good", url], client=client)
    assert not wire.asked


@pytest.mark.parametrize(
    ("vendor", "url", "gone", "kept"),
    [
        (Varnish(), f"{WWW}/p", ["http://WWW.example.com/p"], [f"{WWW}/p?", f"{WWW}/P", f"{WWW}/p/", f"{WWW}:80/p"]),
        (AZURE_FD, f"{WWW}/p", [f"{WWW}/P", f"{WWW}/p?x=1"], [f"{WWW}/p/", f"{WWW}/pp", "https://b.example/p"]),
        (GOOGLE, f"{WWW}/p", [f"{WWW}/p?x=1", f"{WWW}/p?"], [f"{WWW}/P", "https://b.example/p"]),
        (CLOUDFRONT, f"{WWW}/p", ["https://b.example/p"], [f"{WWW}/p?x=1", f"{WWW}/P"]),
        (VENDORS[3], f"{WWW}/p", [f"{WWW}/p?"], [f"{WWW}/p?x", "http://www.example.com/p"]),
        (BUNNY, WWW, [f"{WWW}/"], [f"{WWW}/a", f"{WWW}/?"]),
    ],
)
def test_a_vendor_says_which_urls_lose_their_copy(vendor, url, gone, kept):
    """The blast radius: what goes with a purge of this URL."""
    goes = vendor.radius(url)
    assert [url, *gone] == [each for each in [url, *gone, *kept] if goes(each)]


def test_azure_s_requests_have_one_host_each():
    """Two hosts in one request would purge each path from both."""
    urls = [f"{WWW}/a", "https://b.example/b", f"{WWW}/c"]
    assert [(f"{WWW}/a", f"{WWW}/c"), ("https://b.example/b",)] == AZURE_FD.batches(urls)


def test_a_request_is_never_larger_than_its_vendor_takes():
    """Akamai answers 413 to more than 50 KB."""
    urls = [f"{WWW}/{number}/{'x' * 400}" for number in range(500)]
    batches = AKAMAI.batches(urls)
    assert urls == [url for batch in batches for url in batch]
    sizes = [len(AKAMAI.request(Order(By.URL, batch)).content) for batch in batches]
    assert 40_000 < max(sizes) < 50_000


async def test_soft_is_refused_where_it_would_be_hard():
    wire = Wire()
    async with wire.client() as client:
        with pytest.raises(PurgeError, match="Squid cannot purge softly by url; it can not at all") as error:
            await Squid(nodes=[NODE]).purge([f"{WWW}/a"], client=client, soft=True)
    assert error.value.permanent
    assert not wire.asked


async def test_shields_are_purged_before_the_nodes_that_ask_them():
    """Or a node fetches the old copy from its shield again."""
    wire = Wire()
    async with wire.client() as client:
        edge = Varnish(nodes=["http://a.example", "http://b.example"], shields=["http://shield.example"])
        await edge.purge([f"{WWW}/a"], client=client)
    assert ["shield.example", "a.example", "b.example"] == [request.url.host for request in wire.asked]


async def test_a_soft_purge_of_nothing_is_no_error_and_a_hard_one_that_nobody_answered_is():
    """Varnish answers 404 to a purge only when it let it through to the site."""
    async with Wire(404, "Not in cache").client() as client:
        [receipt] = await Varnish(nodes=[NODE]).purge([f"{WWW}/a"], client=client, soft=True)
        with pytest.raises(PurgeError, match="answered 404"):
            await Varnish(nodes=[NODE]).purge([f"{WWW}/a"], client=client)
    assert receipt.absent


@pytest.mark.parametrize("vendor", VENDORS, ids=slug)
def test_every_vendor_states_its_powers(vendor):
    """With the page that says so; a vendor with an API also says how often it may be asked, where that is known."""
    powers = vendor.powers()
    assert set(powers["soft"]) <= set(powers["limits"])
    assert vendor.see.startswith("https://") or slug(vendor) == "demo-edge"
    assert all(rate.see.startswith("https://") and rate.per_second > 0 and rate.burst >= 1 for rate in vendor.rates())
    assert vendor.settles_within > 0 or not hasattr(vendor, "api")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Fastly, {"service": "a/../b", "token": "x"}),
        (Bunny, {"zone": "all", "token": "x"}),
        (KeyCDN, {"zone": "1", "host": "https://a.example/", "token": "x"}),
        (CloudFront, {"distribution": "E/1", "access_key_id": "x", "secret_access_key": "x"}),
        (GoogleCDN, {"project": "a/b", "url_map": "m", "token": "x"}),
        (AzureFrontDoor, {**AZURE, "profile": "a/b", "token": "x"}),
        (Akamai, {"api": "akab.example", "client_token": "x", "client_secret": "x", "access_token": "x"}),
        (Cloudflare, {"zone": "abc", "token": "x", "plan": "gold"}),
    ],
)
def test_a_setting_that_would_ask_something_else_is_refused(kind, settings):
    with pytest.raises(ValueError, match="validation error"):
        kind(**settings)
