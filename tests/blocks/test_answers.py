"""What is made of a vendor's answer, or of none."""

import asyncio
import json
import pickle

import httpx
import pytest

from blocks.akamai import Akamai
from blocks.cloudflare import Cloudflare
from blocks.demo_edge import DemoEdge
from blocks.nginx import Nginx, NginxRefresh
from blocks.varnish import Varnish
from roundsman.purge.rules.order import By, PurgeError
from tests.blocks.wire import Wire

SECRET = "hush-4711"
NODE = "http://127.0.0.1:6081"
CLOUDFLARE = Cloudflare(zone="abc123", token=SECRET)


async def test_a_node_in_trouble_does_not_spare_the_others():
    """The error tells of the bad node, and carries the receipts of the good one."""

    def answer(request):
        return httpx.Response(503 if request.url.host == "a.example" else 200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(PurgeError, match=r"Varnish at http://a\.example answered 503") as error:
            await Varnish(nodes=["http://a.example", "http://b.example"]).purge(["http://h.example/"], client=client)
    assert not error.value.permanent
    assert [receipt.node for receipt in error.value.receipts] == ["http://b.example"]


@pytest.mark.parametrize(
    ("status", "permanent", "shut_out"),
    [
        *((status, True, True) for status in (301, 401, 403, 404, 405)),
        *((status, True, False) for status in (400, 413, 422)),
        *((status, False, False) for status in (408, 429, 500, 503)),
    ],
)
async def test_a_refusal_says_whether_asking_again_or_for_something_else_can_help(status, permanent, shut_out):
    """What was seen, what was wanted, what to do; a redirect is not followed."""
    wire = Wire(status, "<p>because\nof</p>", {"Retry-After": "30", "Location": "https://elsewhere.example/"})
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await Varnish(nodes=[NODE]).purge(["http://h.example/"], client=client)
    assert (permanent, shut_out) == (error.value.permanent, error.value.shut_out)
    wait = "" if permanent else " (Retry-After: 30)"
    assert str(error.value).startswith(f"Varnish at {NODE} answered {status}{wait}, wanted 2xx; ")
    assert str(error.value).endswith("It said: because of")
    assert len(wire.asked) == 1


@pytest.mark.parametrize(("status", "shut_out"), [(301, False), (404, False), (401, True), (405, True)])
async def test_where_the_page_itself_answers_its_absence_is_about_that_page_only(status, shut_out):
    async with Wire(status, headers={"Location": "https://elsewhere.example/"}).client() as client:
        with pytest.raises(PurgeError) as error:
            await NginxRefresh(nodes=[NODE], value=SECRET).purge(["http://h.example/"], client=client)
    assert (True, shut_out) == (error.value.permanent, error.value.shut_out)


@pytest.mark.parametrize(("code", "denied"), [(6003, True), (6111, True), (10000, True), (1012, False)])
async def test_a_token_that_cloudflare_can_not_read_is_told_as_such(code, denied):
    said = {"success": False, "errors": [{"code": code, "message": "Invalid request headers"}]}
    async with Wire(400, json.dumps(said)).client() as client:
        with pytest.raises(PurgeError) as error:
            await CLOUDFLARE.purge(["http://h.example/"], client=client)
    assert (denied, denied) == (error.value.denied, error.value.shut_out)
    assert denied is ("token" in str(error.value).partition("It said")[0])


async def test_a_credential_that_no_header_can_carry_is_a_setting_and_no_item():
    akamai = Akamai(api="https://a.example", client_token="t\u200b", client_secret="s", access_token="a")
    async with Wire(200).client() as client:
        with pytest.raises(PurgeError, match="has a setting with characters that no header can carry") as error:
            await akamai.purge(["http://h.example/"], client=client)
    assert (True, True) == (error.value.shut_out, error.value.denied)


async def test_an_item_that_no_request_can_carry_is_refused_by_itself():
    async with Wire(200).client() as client:
        with pytest.raises(PurgeError, match="can't be asked by this address") as error:
            await Varnish(nodes=[NODE]).purge([f"http://h.example/{11_000 * 'é'}"], client=client)
        assert (True, False) == (error.value.permanent, error.value.shut_out)
        with pytest.raises(PurgeError, match="can't carry 'clé' in a header") as error:
            await Varnish(nodes=[NODE]).purge(["clé"], By.KEY, client=client)
    assert (True, False) == (error.value.permanent, error.value.shut_out)


@pytest.mark.parametrize(
    ("trouble", "permanent"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ReadTimeout("late"), False),
        (httpx.RemoteProtocolError("cut off"), False),
        (httpx.UnsupportedProtocol("ftp"), True),
    ],
)
async def test_trouble_on_the_way_says_whether_asking_again_can_help(trouble, permanent):
    """A connection may come back; a wrong address will not."""
    async with Wire(trouble=trouble).client() as client:
        with pytest.raises(PurgeError) as error:
            await Varnish(nodes=[NODE]).purge(["http://h.example/"], client=client)
    assert error.value.permanent is permanent


async def test_a_node_that_is_down_is_told():
    """A refused connection on a real port."""
    with pytest.raises(PurgeError, match=r"Varnish at http://127\.0\.0\.1:1 could not be reached") as error:
        await Varnish(nodes=["http://127.0.0.1:1"]).purge(["http://h.example/"])
    assert not error.value.permanent


@pytest.mark.parametrize(
    ("edge", "status", "absent"),
    [
        (Nginx(), 404, True),
        (Nginx(), 412, True),
        (Nginx(), 200, False),
        (DemoEdge(), 404, True),
        (DemoEdge(), 200, False),
    ],
)
async def test_a_copy_that_was_not_there_is_no_error(edge, status, absent):
    """The receipt says so instead."""
    async with Wire(status).client() as client:
        [receipt] = await edge.purge(["http://h.example/"], client=client)
    assert (receipt.status, receipt.absent) == (status, absent)


@pytest.mark.parametrize(
    ("edge", "text", "says"),
    [
        (CLOUDFLARE, '{"success": false, "errors": [{"code": 1012, "message": "bad file"}]}', "1012 bad file"),
        (CLOUDFLARE, '{"success": false, "errors": []}', "no reason"),
        (CLOUDFLARE, "<html>proxy</html>", "not Cloudflare's JSON"),
        (CLOUDFLARE, "[]", "not Cloudflare's JSON"),
        (CLOUDFLARE, '{"success": false, "errors": null}', "not Cloudflare's JSON"),
        (Nginx(nodes=[NODE]), "<h1>Welcome</h1>", "is /__purge the purge location"),
    ],
)
async def test_a_good_status_can_be_a_refusal(edge, text, says):
    """Status 200 is not enough where the vendor says more."""
    async with Wire(200, text).client() as client:
        with pytest.raises(PurgeError, match=says) as error:
            await edge.purge(["http://h.example/"], client=client)
    assert error.value.permanent


async def test_a_receipt_hides_a_secret_that_the_answer_quotes():
    """Evidence is kept without the token."""
    async with Wire(text=json.dumps({"success": True, "echo": SECRET})).client() as client:
        [receipt] = await CLOUDFLARE.purge(["https://www.example.com/"], client=client)
    assert "success" in receipt.answer
    assert SECRET not in receipt.answer


async def test_an_endless_answer_is_cut_off():
    """What a node sends is bounded."""

    async def endless():
        while True:
            yield b"x" * 1000

    def answer(request):
        return httpx.Response(200, content=endless())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        [receipt] = await DemoEdge().purge(["http://h.example/"], client=client)
    assert receipt.answer == "x" * 200


async def test_a_silent_node_is_given_up(monkeypatch):
    """A connection that is open but says nothing does not hold the purge."""
    monkeypatch.setattr("blocks.edge.PURGE_TIMEOUT_SECONDS", 0.05)
    silent = asyncio.Event()

    async def answer(request):
        await silent.wait()

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(PurgeError, match=r"no answer within 0\.05 s"):
            await DemoEdge().purge(["http://h.example/"], client=client)


def test_an_error_survives_being_sent_to_another_process():
    """Prefect pickles what a task raises."""
    error = pickle.loads(pickle.dumps(PurgeError("says", permanent=True)))
    assert (str(error), error.permanent, error.receipts) == ("says", True, ())
