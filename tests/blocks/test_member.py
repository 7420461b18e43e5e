"""How a test member logs in, and what never shows."""

from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from blocks.member import LoginError, Member
from blocks.registry import BlockError, make

PASSWORD = "hush-4711"
ADA = Member(login="/login", form={"user": "ada", "password": PASSWORD}, sentinels=["ada@members.example"])


def site(status=303, cookies=("sessionid=abc; Path=/; HttpOnly", "theme=dark; Path=/app"), trouble=None, asked=None):
    """A site whose login answers in one way."""

    def answer(request):
        if asked is not None:
            asked.append(request)
        if trouble:
            raise trouble
        headers = [("location", "/inbox"), *(("set-cookie", cookie) for cookie in cookies)]
        return httpx.Response(status, headers=headers, text=PASSWORD)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_a_form_becomes_a_cookie():
    """The fields are posted once, the redirect is left alone, every cookie comes back."""
    asked = []
    async with site(asked=asked) as client:
        headers = await ADA.log_in("https://www.example.com", client)
        assert not client.is_closed
    assert headers == {"Cookie": "sessionid=abc; theme=dark"}
    [request] = asked
    assert (request.method, str(request.url)) == ("POST", "https://www.example.com/login")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.content.decode()) == {"user": ["ada"], "password": [PASSWORD]}


async def test_a_cookie_goes_back_byte_for_byte():
    name = "name=Łukasz é".encode().decode("latin-1")
    async with site(200, cookies=(name.encode("latin-1"),)) as client:
        assert {"Cookie": name} == await ADA.log_in("https://www.example.com", client)


async def test_a_cookie_that_httpx_can_not_carry_past_a_redirect_is_a_login_that_failed():
    async with site(cookies=("name=Łukasz".encode(),)) as client:
        with pytest.raises(LoginError, match="set a cookie that is not ASCII and leads elsewhere, wanted"):
            await ADA.log_in("https://www.example.com", client)


async def test_a_shared_client_does_not_become_the_member():
    """A stranger's request through the same client carries no session, and its own cookies are still there."""
    asked = []
    async with site(asked=asked) as client:
        client.cookies.set("mine", "1")
        await ADA.log_in("https://www.example.com", client)
        await client.get("https://www.example.com/inbox")
    assert "cookie" not in asked[0].headers
    assert asked[1].headers["cookie"] == "mine=1"


async def test_headers_are_the_session():
    """Fixed headers are returned as they are, and no one is asked."""
    member = Member(headers={"Authorization": f"Bearer {PASSWORD}"})
    assert await member.log_in("http://127.0.0.1:1") == {"Authorization": f"Bearer {PASSWORD}"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"status": 403}, "answered 403, wanted a login; check the member's form fields"),
        ({"status": 502}, "answered 502, wanted a login; see what troubles the site"),
        ({"cookies": ()}, "set no cookie, wanted a session cookie"),
        ({"status": 200, "cookies": ("sessionid=; Max-Age=0",)}, "set only cookies that are expired"),
        ({"cookies": ("sessionid=abc; Domain=other.example",)}, "or for another host"),
        ({"trouble": httpx.ConnectError(PASSWORD)}, "gave no answer .ConnectError."),
    ],
)
async def test_a_login_that_failed_says_how(answer, says):
    """What was seen and what to do, and never the secret."""
    async with site(**answer) as client:
        with pytest.raises(LoginError, match=says) as error:
            await ADA.log_in("https://www.example.com", client)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (Member(), "saw neither form nor headers"),
        (Member(login="/login"), "saw neither form nor headers"),
        (Member(login="/login", form={"a": "b"}, headers={"Cookie": "a=b"}), "saw form and headers"),
        (Member(form={"a": "b"}), "wanted `login`"),
        (Member(headers={"Cookie": f"a={PASSWORD}\nX: y"}), "a line break"),
    ],
)
async def test_a_member_without_usable_credentials_says_so(member, says):
    """Before anything is sent."""
    with pytest.raises(LoginError, match=says) as error:
        await member.log_in("http://127.0.0.1:1")
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("login", ["login", "@other.example/login", "https://other.example/login"])
def test_a_login_stays_on_the_site(login):
    """A path that could lead the password elsewhere is refused."""
    with pytest.raises(ValidationError):
        Member(login=login)


def test_no_secret_shows():
    """Neither in a member's words nor in a dump of it."""
    member = Member(form={"password": PASSWORD}, headers={"Cookie": PASSWORD}, sentinels=[PASSWORD])
    shown = [repr(member), str(member), str(member.model_dump()), member.model_dump_json()]
    assert not [text for text in shown if PASSWORD in text]


@pytest.mark.harness
@pytest.mark.usefixtures("prefect")
async def test_prefect_keeps_and_hides_every_secret():
    """A saved member loads whole, and Prefect's API shows none of its values."""
    from prefect.client.orchestration import get_client

    member = Member(form={"password": PASSWORD}, headers={"Cookie": PASSWORD}, sentinels=[PASSWORD])
    await member.save("keeps-secrets")
    async with get_client() as client:
        document = await client.read_block_document_by_name("keeps-secrets", "member", include_secrets=False)
    loaded = await Member.aload("keeps-secrets")
    assert set(document.data) == {"login", "form", "headers", "sentinels"}
    assert PASSWORD not in str(document.data)
    assert loaded.form["password"].get_secret_value() == PASSWORD
    assert loaded.headers["Cookie"].get_secret_value() == PASSWORD
    assert [value.get_secret_value() for value in loaded.sentinels] == [PASSWORD]


@pytest.mark.parametrize("sentinel", ["", "a", "Ada", "   a   "])
def test_a_sentinel_that_stands_in_any_page_is_refused_without_being_shown(sentinel):
    with pytest.raises(BlockError) as caught:
        make("member/ada", {"headers": {"Cookie": "s=1"}, "sentinels": ["ada@members.example", sentinel]})
    assert "wanted at least 5 characters" in str(caught.value)
    assert sentinel.strip() == "" or f"'{sentinel}'" not in str(caught.value)
