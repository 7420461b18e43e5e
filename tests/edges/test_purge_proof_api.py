"""A vendor's API before real caches: whatever it says, the caches are looked at, and each way to go wrong is told."""

import asyncio

import pytest

from flows.tasks.blocks import edges_of
from roundsman.purge.prove import PurgeTest, prove
from roundsman.purge.rules.plan import PurgeRequest
from tests.edges import lab
from tests.edges.proof import purged, shop
from tests.vendor_api import TOKEN, VendorApi, served

pytestmark = pytest.mark.slow

TOUCH = ("touch",)
FASTLY = {"service": "s", "token": TOKEN}
CLOUDFRONT = {"distribution": "E1", "access_key_id": f"AKID{TOKEN}", "secret_access_key": TOKEN}
AKAMAI = {"client_token": TOKEN, "client_secret": TOKEN, "access_token": TOKEN}


@pytest.fixture(scope="module")
def nodes(origin):
    """Two servers of one edge."""
    with lab.Varnish("varnish.vcl", origin) as one, lab.Varnish("varnish.vcl", origin) as two:
        yield one, two


@pytest.fixture
def behind(nodes, origin, monkeypatch):
    """A site whose edge is purged through a vendor's API, which goes wrong as it is told; its content changes."""
    used = []

    def at(name, kind="fastly", settings=FASTLY, base="", **wrong):
        api = VendorApi([one.url for one in nodes], site=nodes[0].url)
        for what, value in wrong.items():
            setattr(api, what, value)
        serving = served(api)
        used.append(serving)
        address = serving.__enter__()
        path = f"/articles/{name}/one"

        async def run(*_, **__):
            origin.bump(path)
            return ""

        monkeypatch.setattr("roundsman.purge.prove.run", run)
        servers = [one.url for one in nodes]
        return api, shop(nodes[0].url, kind, name, settings={**settings, "api": address + base}, servers=servers)

    yield at
    for serving in used:
        serving.__exit__(None, None, None)


@pytest.mark.parametrize(("kind", "settings"), [("fastly", FASTLY), ("cloudfront", CLOUDFRONT), ("akamai", AKAMAI)])
async def test_what_the_vendor_did_is_proven_at_each_server(behind, kind, settings):
    _, place = behind(f"api-{kind}", kind, settings)
    found = await purged(place, touch=TOUCH)
    assert {} == found.trouble
    assert "new in all 2 copies, proven by content; 12 of 12 neighbours untouched; still new later" == found.said


async def test_a_purge_that_is_dropped_leaves_every_server_old(behind):
    _, place = behind("api-drop", drop=True)
    found = await purged(place, touch=TOUCH, patience=1)
    assert {"refreshed": "fail"} == found.trouble
    assert 2 == len([saw for saw in found.saw("refreshed") if "the old marker, though the content changed" in saw])


async def test_a_purge_that_reaches_one_server_names_the_other(behind, nodes):
    _, place = behind("api-one", only=0)
    found = await purged(place, touch=TOUCH, patience=1)
    assert {"refreshed": "fail"} == found.trouble
    new, old = found.saw("refreshed")
    assert "a new marker (proven by content)" == new
    assert old.startswith(f"/articles/api-one/one at 127.0.0.1:{nodes[1].port}: the old marker")


async def test_a_purge_that_takes_more_names_the_neighbour(behind, nodes):
    _, place = behind("api-more", also=(f"{nodes[0].url}/articles/api-more/two",))
    found = await purged(place, touch=TOUCH)
    assert {"neighbour": "fail"} == found.trouble
    fallen = [f.saw for f in found.verdict.findings if f.outcome == "fail"]
    assert 2 == len(fallen)
    assert all(saw.startswith("/articles/api-more/two at ") for saw in fallen)


async def test_a_purge_that_is_done_later_is_waited_for_where_the_vendor_says_so(behind):
    api, place = behind("api-slow", "cloudfront", CLOUDFRONT, polls=3)
    found = await purged(place, touch=TOUCH)
    assert {} == found.trouble
    assert 8 <= len([asked for asked in api.asked if asked.method == "GET"])


async def test_a_purge_that_is_never_done_is_unknown(behind, monkeypatch):
    """It was taken; nobody knows what is where by now."""
    monkeypatch.setattr("roundsman.purge.prove.MAX_WAIT_SECONDS", 1.0)
    _, place = behind("api-never", "cloudfront", CLOUDFRONT, polls=1000)
    found = await purged(place, touch=TOUCH, patience=0)
    assert {"accepted": "unknown", "refreshed": "fail"} == found.trouble
    assert "took the purge, and had not done it after 1s" in found.saw("accepted")[0]


async def until(holds):
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the API is in another thread
            await asyncio.sleep(0.05)


async def test_a_purge_that_comes_late_without_a_word_is_no_dropped_one(behind):
    """It is new in the end, and later than the vendor promises."""
    api, place = behind("api-late", polls=1)
    under_way = asyncio.create_task(purged(place, touch=TOUCH))

    await until(lambda: 2 == len([asked for asked in api.asked if asked.method == "POST"]))
    await asyncio.sleep(2.5)  # the vendor's promise is one second
    await api.catch_up()
    found = await under_way
    assert {"in-time": "fail"} == found.trouble
    assert "HIT on the old copy, and new after" in found.saw("in-time")[0]


@pytest.mark.parametrize(
    ("wrong", "outcome", "says"),
    [
        ({"refuse": 403}, "fail", "answered 403"),
        ({"refuse": 500}, "unknown", "answered 500"),
        ({"limited": ["60"]}, "unknown", "answered 429 (Retry-After: 60)"),
        ({"unsuccessful": True}, "fail", "refused the purge with status 200"),
    ],
)
async def test_a_refusal_is_told_in_its_own_words_without_the_token(behind, wrong, outcome, says):
    _, place = behind(f"api-refused-{next(iter(wrong))}-{outcome}", **wrong)
    found = await purged(place, touch=TOUCH)
    assert {"accepted": outcome} == found.trouble
    assert says in found.saw("accepted")[0]
    assert TOKEN not in str(found.verdict)


async def test_a_vendor_that_takes_other_queries_along_is_refused_until_that_is_accepted(behind):
    """And then these are no neighbours."""
    _, place = behind("api-blind", "google-cdn", {"project": "p", "url_map": "m", "token": TOKEN}, "/compute/v1")
    request = PurgeRequest(("/articles/api-blind/one",))
    refused = await prove(place, PurgeTest(request), await edges_of(place))
    assert "does not tell query apart" in str(refused.plan.refusals[0])
    found = await purged(place.model_copy(update={"accept": ("query",)}), touch=TOUCH)
    assert {} == found.trouble
    assert "10 of 10 neighbours untouched" in found.said
