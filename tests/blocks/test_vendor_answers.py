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
from blocks.netlify import Netlify
from blocks.nginx import NginxRefresh
from blocks.squid import Squid
from blocks.varnish import Varnish
from blocks.vercel import Vercel
from roundsman.purge.rules.order import By, Order, PurgeError, Receipt
from roundsman.purge.rules.queue import SLOWEST_EDGE_SECONDS, Bucket, full, take
from tests.blocks.vendors import AZURE, NODE, SECRET, VENDORS, hosted, slug
from tests.blocks.wire import Wire
from tests.vendor_api import VendorApi

CLOUDFLARE, FASTLY, CLOUDFRONT, AKAMAI, BUNNY, KEYCDN, GOOGLE, AZURE_FD, VERCEL, NETLIFY = hosted()
WWW = "https://www.example.com"
#: They say by the status alone what became of a purge.
BY_STATUS = {"bunny", "vercel", "netlify"}


def order(by, *items, **more):
    return Order(by, items, **more)


def accepted(ticket):
    return Receipt("", (), 201, 0.0, absent=False, answer="", ticket=ticket)


def over_quota(status, reason):
    """As Compute Engine says it, and as Google's newer APIs do."""
    if reason.isupper():
        said = {
            "status": "RESOURCE_EXHAUSTED" if "EXCEEDED" in reason else "PERMISSION_DENIED",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}],
        }
    else:
        said = {"errors": [{"domain": "usageLimits", "reason": reason, "message": "later"}]}
    return Wire(status, json.dumps({"error": {"code": status, "message": "Quota exceeded", **said}}))


def aws_error(code):
    said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>Processing your request.</Message></Error>"
    return f'<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">{said}</ErrorResponse>'


@pytest.mark.parametrize("vendor", [vendor for vendor in hosted() if slug(vendor) not in BY_STATUS], ids=slug)
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
        assert await CLOUDFRONT.settled(accepted("I1"), client) is False


@pytest.mark.parametrize(
    ("vendor", "ticket", "wire"),
    [
        (CLOUDFRONT, "I1", Wire(403)),
        (CLOUDFRONT, "I1", Wire(404)),
        (GOOGLE, "operation-1", Wire(401)),
        (GOOGLE, "operation-1", Wire(403, '{"error": {"errors": [{"reason": "forbidden"}]}}')),
        (AZURE_FD, "https://management.azure.com/operations/1", Wire(401)),
    ],
)
async def test_a_question_that_is_refused_for_good_is_no_news_of_the_purge(vendor, ticket, wire, caplog):
    """It was accepted, and a token that has ended since then does not undo it; the vendor's promise is waited for."""
    async with wire.client() as client:
        assert await vendor.settled(accepted(ticket), client) is None
    assert f"whether it is done can't be asked: {vendor.get_block_type_name()} answered" in caplog.text


def test_a_run_of_the_purge_queue_waits_for_the_slowest_vendor():
    assert SLOWEST_EDGE_SECONDS == max(vendor.settles_within for vendor in VENDORS)


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


async def test_azure_s_token_goes_to_azure_only(caplog):
    """Where an answer says to ask is what anybody on the way can write."""
    wire = Wire(202, "", {"azure-asyncoperation": "https://elsewhere.example/operations/1"})
    async with wire.client() as client:
        [receipt] = await AZURE_FD.purge([f"{WWW}/a"], client=client)
        assert await AZURE_FD.settled(receipt, client) is None
    assert len(wire.asked) == 1
    assert "operation is at elsewhere.example" in caplog.text


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
    ("status", "reason", "permanent"),
    [
        (403, "rateLimitExceeded", False),
        (403, "userRateLimitExceeded", False),
        (403, "quotaExceeded", False),
        (403, "RATE_LIMIT_EXCEEDED", False),
        (429, "RATE_LIMIT_EXCEEDED", False),
        (413, "quotaExceeded", False),
        (403, "forbidden", True),
        (403, "accessNotConfigured", True),
        (403, "IAM_PERMISSION_DENIED", True),
        (404, "rateLimitExceeded", True),
    ],
)
async def test_google_s_403_of_a_used_up_quota_is_waited_for_and_no_missing_right(status, reason, permanent):
    """Compute Engine says 403 where others say 429; the reason tells the two apart."""
    wire = over_quota(status, reason)
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await GOOGLE.purge([f"{WWW}/a"], client=client)
    assert len(wire.asked) == 1
    assert (permanent, None if permanent else 60.0) == (error.value.permanent, error.value.retry_after)
    assert ("check the token's rights" in str(error.value)) is (permanent and status == 403)
    assert error.value.denied is (permanent and status == 403)


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED"])
async def test_a_used_up_quota_after_a_purge_was_accepted_is_no_news_of_it(reason):
    """The question is asked again in a minute."""
    async with over_quota(403, reason).client() as client:
        seen = await GOOGLE.settling(accepted("operation-1"), client)
    assert (False, False, 60.0) == (seen.done, seen.heard, seen.wait)


@pytest.mark.parametrize("ends", ["at once", "later"])
async def test_an_operation_that_a_quota_ended_is_tried_again_and_no_refusal_for_good(ends):
    errors = [{"code": "RATE_LIMIT_EXCEEDED", "message": "Rate Limit Exceeded"}]
    wire = Wire(200, json.dumps({"name": "operation-1", "status": "DONE", "error": {"errors": errors}}))
    async with wire.client() as client:
        with pytest.raises(PurgeError, match="RATE_LIMIT_EXCEEDED") as error:
            await (
                GOOGLE.purge([f"{WWW}/a"], client=client)
                if ends == "at once"
                else GOOGLE.settled(accepted("o"), client)
            )
    assert (False, 60.0) == (error.value.permanent, error.value.retry_after)


@pytest.mark.parametrize(
    ("vendor", "wire", "wait"),
    [
        (AKAMAI, Wire(429, "{}"), 5.0),
        (AKAMAI, Wire(507, "{}"), None),
        (KEYCDN, Wire(429), 60.0),
        (NETLIFY, Wire(429), 5.0),
        (FASTLY, Wire(429, "", {"Fastly-RateLimit-Reset": "1790000030", "Date": "Mon, 21 Sep 2026 14:13:20 GMT"}), 30.0),
        (VERCEL, Wire(429, "", {"X-RateLimit-Reset": "1790000030", "Date": "Mon, 21 Sep 2026 14:13:20 GMT"}), 30.0),
        (VERCEL, Wire(429, "", {"X-RateLimit-Reset": "soon", "Date": "Mon, 21 Sep 2026 14:13:20 GMT"}), None),
        (AZURE_FD, Wire(409, '{"error": {"code": "Conflict"}}'), None),
        (AZURE_FD, Wire(429, "", {"Retry-After": "17"}), 17.0),
        (CLOUDFLARE, Wire(429, "", {"Retry-After": "17"}), 17.0),
        (BUNNY, Wire(429, "", {"Retry-After": "17"}), 17.0),
    ],
)  # fmt: skip
async def test_too_much_at_once_is_waited_for_as_long_as_the_vendor_says(vendor, wire, wait):
    """In its answer, by a header of its own, or on its page."""
    async with wire.client() as client:
        with pytest.raises(PurgeError, match="purge again later") as error:
            await vendor.send(order(By.URL, f"{WWW}/a"), client, patient=False)
    assert (False, False, wait) == (error.value.permanent, error.value.denied, error.value.retry_after)


@pytest.mark.parametrize(
    ("vendor", "good", "bad"),
    [
        (AKAMAI, ["fall-sale", "a/b.c", "&'^$!`#%+~_|", "x" * 128], ["type:article", "x" * 129, "a@b", "a=b", "(a)", "a;b", "é"]),
        (FASTLY, ["type:article", "é", "x" * 1024], ["x" * 1025, "é" * 513]),
        (CLOUDFLARE, ["type:article", "x" * 1024], ["x" * 1025, "é"]),
        (CLOUDFRONT, ["product:tv", "#x", "x" * 256], ["x" * 257, "é"]),
        (GOOGLE, ["type:article"], ["é"]),
        (BUNNY, ["type:article", "x" * 1024], ["x" * 1025, "é"]),
        (KEYCDN, ["type:article", "x" * 128], ["x" * 129, "é"]),
        (VERCEL, ["type:article", "é", "x" * 256], ["x" * 257, "é" * 129]),
        (NETLIFY, ["type:article", "x" * 1024], ["x" * 1025, "é"]),
    ],
)  # fmt: skip
async def test_a_tag_that_a_vendor_does_not_take_is_refused_with_its_rule_and_nothing_is_sent(vendor, good, bad):
    wire = Wire()
    assert good == [key for batch in vendor.batches(good, By.KEY) for key in batch]
    async with wire.client() as client:
        for tag in bad:
            with pytest.raises(
                ValueError, match=r"wanted a tag as \S+.* takes it: at most \d+ bytes, .*nothing was purged"
            ):
                await vendor.purge([good[0], tag], By.KEY, client)
    assert not wire.asked


def seconds_for(vendor, by, many):
    """How long the vendor's rates make so many items take, below them as the queue stays; latency apart."""
    now, sizes = (
        0.0,
        [
            len(batch)
            for batch in vendor.batches(
                [f"{WWW}/{number}" if by is By.URL else f"t{number}" for number in range(many)], by
            )
        ],
    )
    rates = [rate for rate in vendor.rates() if not rate.by or by in rate.by]
    levels = {rate: full(Bucket.below(rate.per_second, rate.burst), now) for rate in rates}
    for size in sizes:
        for rate in rates:
            cost, bucket = size if rate.of == "items" else 1, Bucket.below(rate.per_second, rate.burst)
            now += take(bucket, levels[rate], now, cost)[1] + 1e-6
            levels[rate] = take(bucket, levels[rate], now, cost)[0]
    return now


@pytest.mark.parametrize(
    ("vendor", "by", "least", "most"),
    [
        (CLOUDFLARE, By.URL, 12, 16),
        (Cloudflare(zone="a", token="x", plan="pro"), By.URL, 6, 9),
        (Cloudflare(zone="a", token="x", plan="enterprise"), By.URL, 3, 5),
        (CLOUDFLARE, By.KEY, 1000, 1500),
        (AKAMAI, By.URL, 5, 15),
        (AKAMAI, By.KEY, 600, 1000),
    ],
)
def test_ten_thousand_items_take_as_long_as_the_vendor_s_page_says(vendor, by, least, most):
    """Within the four fifths of the rate that are used; URLs and tags have buckets of their own."""
    assert least < seconds_for(vendor, by, 10_000) < most


def test_an_account_on_enterprise_may_name_five_hundred_urls_at_once():
    urls = [f"{WWW}/{number}" for number in range(501)]
    sizes = {
        plan: [len(batch) for batch in Cloudflare(zone="a", token="x", plan=plan).batches(urls)]
        for plan in ("free", "enterprise")
    }
    assert {"free": [100] * 5 + [1], "enterprise": [500, 1]} == sizes


async def test_without_a_tag_for_each_path_an_edge_of_tags_says_how_to_purge_routes():
    wire, edge = Wire(), Vercel(project="p", token=SECRET)
    async with wire.client() as client:
        with pytest.raises(
            PurgeError, match=r"cannot purge by url; it can purge by surrogate key; .*set `route_tag`"
        ) as error:
            await edge.purge([f"{WWW}/a"], client=client)
    assert error.value.permanent
    assert not wire.asked


@pytest.mark.parametrize(
    ("vendor", "url"),
    [
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
        (BUNNY, WWW, [f"{WWW}/", f"{WWW}/?x"], [f"{WWW}/a"]),
        (Bunny(zone="1", token="x", queries_apart=True), WWW, [f"{WWW}/"], [f"{WWW}/a", f"{WWW}/?"]),
        (VERCEL, f"{WWW}/p", [f"{WWW}/p?x", "https://b.example/p"], [f"{WWW}/P", f"{WWW}/p/"]),
        (NETLIFY, f"{WWW}/p", [f"{WWW}/p?x", f"{WWW}/P"], [f"{WWW}/p/"]),
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
    powers = vendor.powers("edge/shop")
    assert powers.soft <= set(powers.limits)
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
        (CloudFront, {"access_key_id": "x", "secret_access_key": "x"}),
        (
            CloudFront,
            {"distribution": "E1", "distribution_tenant": "dt_1", "access_key_id": "x", "secret_access_key": "x"},
        ),
        (CloudFront, {"distribution_tenant": "dt/1", "access_key_id": "x", "secret_access_key": "x"}),
        (GoogleCDN, {"project": "p", "url_map": "m"}),
        (GoogleCDN, {"project": "p", "url_map": "m", "token": "x", "machine_identity": True}),
        (GoogleCDN, {"project": "p", "url_map": "m", "token": "x", "service_account_key": "x"}),
        (AzureFrontDoor, AZURE),
        (AzureFrontDoor, {**AZURE, "client_secret": "x"}),
        (AzureFrontDoor, {**AZURE, "token": "x", "machine_identity": True}),
        (Vercel, {"project": "a/b", "token": "x"}),
        (Vercel, {"project": "a", "token": "x", "route_tag": "page"}),
        (Netlify, {"site": "a b", "token": "x"}),
        (Netlify, {"site": "a", "token": "x", "route_tag": "a,{path}"}),
    ],
)
def test_a_setting_that_would_ask_something_else_is_refused(kind, settings):
    with pytest.raises(ValueError, match="validation error"):
        kind(**settings)
