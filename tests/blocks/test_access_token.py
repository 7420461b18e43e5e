"""Where access tokens come from, how long they are kept, and what is made of their refusal."""

import json
import logging
from datetime import UTC, datetime

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from blocks import access_token, registry
from blocks.azure_front_door import AzureFrontDoor
from blocks.google_cdn import GoogleCDN
from roundsman.purge.rules.order import PurgeError
from tests.blocks.vendors import AZURE
from tests.blocks.wire import Wire
from tests.vendor_api import TOKEN, VendorApi, credentials

PAGE = ["https://www.example.com/a"]
NOBODY = ("AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "GCE_METADATA_HOST")
SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = SIGNER.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
KEY = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "k1",
    "private_key": PEM,
    "client_email": "roundsman@p.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def google(**settings):
    return GoogleCDN(project="p", url_map="m", **settings)


def azure(**settings):
    return AzureFrontDoor(**AZURE, **settings)


def by_key(key=None):
    return google(service_account_key=json.dumps(KEY if key is None else key))


def by_secret():
    return azure(tenant="tenant-1", client_id="app-1", client_secret="hush-secret")


WAYS = [
    pytest.param(by_key, SIGNER.public_key(), {}, id="google service account"),
    pytest.param(lambda: google(machine_identity=True), "machine", {}, id="google machine"),
    pytest.param(by_secret, "hush-secret", {}, id="azure client secret"),
    pytest.param(lambda: azure(machine_identity=True), "machine", {}, id="azure machine"),
    pytest.param(
        lambda: azure(machine_identity=True),
        "hush-header",
        {"IDENTITY_ENDPOINT": "http://127.0.0.1:41/msi/token", "IDENTITY_HEADER": "hush-header"},
        id="azure app service",
    ),
    pytest.param(
        lambda: azure(machine_identity=True),
        "hush-pod",
        {"AZURE_FEDERATED_TOKEN_FILE": "pod-token", "AZURE_TENANT_ID": "tenant-1", "AZURE_CLIENT_ID": "app-1"},
        id="azure pod",
    ),
]


@pytest.fixture
def ask_as(monkeypatch, tmp_path):
    """Makes a block as it would be asked from an environment, and the API that trusts it."""

    def made(edge, trusts, environ):
        (tmp_path / "pod-token").write_text("hush-pod\n")
        for name in NOBODY:
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, str(tmp_path / value) if value == "pod-token" else value)
        api = VendorApi()
        api.trusts = trusts
        return edge(), api

    return made


def pages_of(api):
    """What was asked of the vendor itself."""
    return [asked for asked in api.asked if TOKEN in credentials(asked)]


@pytest.mark.parametrize(("edge", "trusts", "environ"), WAYS)
async def test_a_token_is_fetched_once_and_used_until_shortly_before_its_end(
    edge, trusts, environ, ask_as, monkeypatch
):
    """Then the next request has a new one: a scheduled round after an hour is as good as the first."""
    at = [1000.0]
    monkeypatch.setattr("blocks.access_token.monotonic", lambda: at[0])
    vendor, api = ask_as(edge, trusts, environ)
    async with api.client() as client:
        for passed in (0, 3000, 3600 - access_token.MARGIN_SECONDS + 1, 7200):
            at[0] = 1000.0 + passed
            [receipt] = await vendor.purge(PAGE, client=client)
            assert await vendor.settled(receipt, client) is True
    assert [f"{TOKEN}-0", f"{TOKEN}-1", f"{TOKEN}-2"] == api.issued
    used = [credentials(asked).strip() for asked in pages_of(api)]
    assert [f"Bearer {TOKEN}-{number}" for number in (0, 0, 0, 0, 1, 1, 2, 2)] == used


@pytest.mark.parametrize(("edge", "trusts", "environ"), WAYS)
async def test_a_token_that_was_taken_back_is_replaced_and_the_purge_goes_on(edge, trusts, environ, ask_as):
    """Also when only the question after an accepted purge meets it."""
    vendor, api = ask_as(edge, trusts, environ)
    async with api.client() as client:
        [receipt] = await vendor.purge(PAGE, client=client)
        api.revoked.add(api.issued[-1])
        assert await vendor.settled(receipt, client) is True
        assert len(api.issued) == 2
        api.revoked.add(api.issued[-1])
        assert await vendor.purge(PAGE, client=client)
    assert len(api.issued) == 3


async def test_a_token_that_is_refused_twice_is_an_error_and_not_asked_for_in_a_circle(ask_as):
    vendor, api = ask_as(by_secret, "hush-secret", {})
    api.revoked.add(TOKEN)
    async with api.client() as client:
        with pytest.raises(PurgeError, match="answered 401") as error:
            await vendor.purge(PAGE, client=client)
    assert error.value.denied
    assert len(api.issued) == 2


@pytest.mark.parametrize(("edge", "trusts", "environ"), WAYS)
async def test_credentials_that_are_refused_are_for_good_and_nowhere_to_be_read(edge, trusts, environ, ask_as, caplog):
    """Entra quotes what it refuses; neither that nor a key or a token is in an error, a log or the block's text."""
    caplog.set_level(logging.DEBUG)
    vendor, api = ask_as(edge, trusts, environ)
    api.trusts = "somebody else" if isinstance(trusts, str) else OTHER.public_key()
    async with api.client() as client:
        with pytest.raises(PurgeError, match="wanted an access token") as error:
            await vendor.purge(PAGE, client=client)
    # A machine's endpoint that knows no identity yet may know it soon.
    assert error.value.permanent is not (environ == {} and trusts == "machine" and isinstance(vendor, GoogleCDN))
    assert error.value.denied is error.value.permanent
    shown = f"{error.value!r} {error.value} {caplog.text} {vendor!r} {vendor} {vendor.model_dump()}"
    assert "hush" not in shown
    assert "PRIVATE KEY" not in shown
    assert not pages_of(api)


@pytest.mark.parametrize(
    ("wire", "permanent", "says"),
    [
        (Wire(429, "", {"Retry-After": "7"}), False, "answered 429, wanted an access token; ask again later"),
        (Wire(503), False, "answered 503"),
        (Wire(401, '{"error": "invalid_client", "error_description": "AADSTS7000215: hush-secret"}'), True, "answered 401 invalid_client AADSTS7000215, wanted"),
        (Wire(302, "", {"Location": "https://elsewhere.example/"}), True, "answered 302"),
        (Wire(200, "<html>proxy</html>"), True, "sent no `access_token`"),
        (Wire(200, '{"access_token": ""}'), True, "sent no `access_token`"),
        (Wire(200, '{"access_token": "a\\r\\nb", "expires_in": 60}'), True, "sent no `access_token`"),
        (Wire(200, '{"access_token": "a", "expires_in": "soon"}'), True, "sent no `access_token`"),
        (Wire(trouble=httpx.ConnectError("no route with hush-secret")), False, "could not be reached (ConnectError)"),
    ],
)  # fmt: skip
async def test_an_endpoint_in_trouble_is_tried_again_and_one_that_refuses_is_not(wire, permanent, says):
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await by_secret().purge(PAGE, client=client)
    assert says in str(error.value)
    assert "hush" not in str(error.value)
    assert (permanent, permanent) == (error.value.permanent, error.value.denied)
    assert error.value.retry_after == (7.0 if "429" in says else None)
    assert len(wire.asked) == 1, "the purge itself was not sent"


@pytest.mark.parametrize(
    "key",
    [
        "hush",
        "[]",
        "{}",
        {**KEY, "private_key": "hush"},
        {**KEY, "type": "external_account"},
        {**KEY, "token_uri": "http://elsewhere.example/token"},
        {**KEY, "client_email": None, "private_key": 7},
    ],
)
async def test_a_key_that_is_none_says_what_is_wanted_and_nothing_is_sent(key):
    wire, edge = Wire(), google(service_account_key=key if isinstance(key, str) else json.dumps(key))
    async with wire.client() as client:
        with pytest.raises(PurgeError, match="wanted the JSON of a service account's key") as error:
            await edge.purge(PAGE, client=client)
    assert error.value.denied
    assert "hush" not in str(error.value)
    assert not wire.asked


async def test_a_pod_without_its_token_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "gone"))
    async with Wire().client() as client:
        with pytest.raises(PurgeError, match="wanted a readable AZURE_FEDERATED_TOKEN_FILE"):
            await azure(machine_identity=True).purge(PAGE, client=client)


async def test_a_user_assigned_identity_is_named(ask_as):
    vendor, api = ask_as(lambda: azure(machine_identity=True, client_id="app-1"), "machine", {})
    async with api.client() as client:
        await vendor.purge(PAGE, client=client)
    assert "client_id=app-1" in api.asked[0].target


async def test_an_end_that_is_a_moment_counts_from_now(ask_as, monkeypatch):
    """Azure's App Service says `expires_on` alone."""
    ends = int(datetime.now(UTC).timestamp()) + 200
    wire = Wire(200, json.dumps({"access_token": TOKEN, "expires_on": str(ends)}))
    source = access_token.TokenSource("x", lambda: httpx.Request("GET", "https://t.example/"))
    async with wire.client() as client:
        assert await source.token(client) == TOKEN
    assert 0 < source._until - access_token.monotonic() <= 200 - access_token.MARGIN_SECONDS


async def test_a_token_that_is_given_is_used_as_it_is():
    """Nothing is fetched for it."""
    api = VendorApi()
    async with api.client() as client:
        for vendor in (google(token=TOKEN), azure(token=TOKEN)):
            assert await vendor.purge(PAGE, client=client)
    assert not api.issued
    assert {f"Bearer {TOKEN}"} == {asked.headers["authorization"] for asked in api.asked}


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"project": "p", "url_map": "m", "service_account_key": {"env": "KEY"}}, None),
        ({"project": "p", "url_map": "m", "machine_identity": True}, None),
        ({"project": "p", "url_map": "m"}, "google-cdn/shop.machine_identity"),
        ({"project": "p", "url_map": "m", "service_account_key": "{}"}, "google-cdn/shop.service_account_key"),
    ],
)
def test_a_site_file_says_in_one_way_who_asks(settings, setting):
    """Lint needs no key for it, and refuses one that is written out."""
    assert [setting] * bool(setting) == [one.setting for one in registry.faults("google-cdn/shop", settings)]
