"""A message goes to whatever Apprise knows, and one that did not get there is said to have failed."""

import asyncio

import pytest

from blocks.apprise import Apprise, AppriseError
from tests.receiver import receiver

# Apprise asks for a module that newer Pythons lack.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def server():
    with receiver() as server:
        yield server


async def test_a_message_arrives_with_its_subject_and_its_lines(server):
    await Apprise(url=server.url("/ops", "json")).notify("one\ntwo", "FIRING")
    [got] = server.got["/ops"]
    assert ("FIRING", "one\ntwo") == (got["title"], got["message"])


@pytest.mark.parametrize("path", ["/hush-hush", "/ops?+token=hush-hush"])
async def test_a_service_that_refuses_is_an_error_without_the_url(server, path):
    server.statuses[path.partition("?")[0]] = 503
    block = Apprise(url=f"json://ada:hush-word@127.0.0.1:{server.server_port}{path}")
    with pytest.raises(AppriseError, match=r"could not send the message: .*503") as caught:
        await block.notify("text")
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(block)


async def test_a_service_that_is_not_there_is_an_error():
    with pytest.raises(AppriseError, match=r"could not send the message: .+"):
        await Apprise(url="json://127.0.0.1:1/").notify("text")


async def test_a_url_that_no_service_takes_is_an_error():
    with pytest.raises(AppriseError, match="a URL that Apprise has no service for") as caught:
        await Apprise(url="hush://hush").notify("text")
    assert "hush" not in str(caught.value)


async def test_one_channel_s_trouble_is_not_told_as_another_s(server):
    server.statuses = {"/one": 501, "/two": 502}
    blocks = [Apprise(url=server.url(path, "json")) for path in ("/one", "/two")]
    errors = await asyncio.gather(*(block.notify("text") for block in blocks), return_exceptions=True)
    assert [True, False, False, True] == [code in str(error) for error in errors for code in ("501", "502")]
