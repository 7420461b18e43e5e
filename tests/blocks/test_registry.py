"""Which blocks are found, and what is said of settings that make none."""

import pickle

import pytest

from blocks.cloudflare import Cloudflare
from blocks.edge import Edge
from blocks.member import Member
from blocks.registry import BlockError, channels, edges, faults, kinds, make, members, shaped
from roundsman.http.vendor_headers import EDGES


def test_blocks_are_found_by_their_slugs():
    """Every concrete type, and no base."""
    assert {"cloudflare", "demo-edge", "member", "nginx", "nginx-refresh", "varnish"} <= set(kinds())
    assert Edge not in kinds().values()
    assert "member" not in edges()
    assert edges()["cloudflare"] is Cloudflare
    assert set(members()) == {"member"}


def test_of_every_edge_that_can_purge_it_is_known_what_it_says_in_headers():
    assert set(edges()) <= set(EDGES)


def test_a_block_that_is_kept_elsewhere_is_not_said_to_lack_what_its_settings_may_give_it():
    """An edge of tags may have a tag for each path; one whose settings are known either has or has not."""
    assert "url" in shaped("netlify/shop", None).powers("netlify/shop").limits
    assert "url" not in shaped("netlify/shop", {"site": "s", "token": {"env": "T"}}).powers("netlify/shop").limits


def test_every_notification_block_of_prefect_is_a_channel_and_so_is_our_own():
    assert set(channels()) == {
        "apprise",
        "custom-webhook",
        "discord-webhook",
        "mattermost-webhook",
        "ms-teams-webhook",
        "opsgenie-webhook",
        "outgoing-webhook",
        "pager-duty-webhook",
        "sendgrid-email",
        "slack-webhook",
        "twilio-sms",
    }


@pytest.mark.usefixtures("environment")
def test_a_secret_inside_a_webhook_s_secrets_is_sent_and_not_its_stars():
    settings = {"name": "ops", "url": "{{url}}", "json_data": {"text": "{{body}}"}, "secrets": {"url": {"env": "SET"}}}
    webhook = make("custom-webhook/ops", settings)
    assert webhook._build_request_args("text", None)["url"] == "hush"
    assert "hush" not in repr(webhook)


def test_settings_become_a_block_with_its_secrets_from_the_environment(monkeypatch):
    """At any depth, in mappings and in lists."""
    monkeypatch.setenv("ADA_PASSWORD", "hush-1")
    monkeypatch.setenv("ADA_MAILBOX", "hush-2")
    member = make(
        "member/ada",
        {
            "login": "/login",
            "form": {"user": "ada", "password": {"env": "ADA_PASSWORD"}},
            "sentinels": ["Ada L.", {"env": "ADA_MAILBOX"}],
        },
    )
    assert isinstance(member, Member)
    assert member.form["user"].get_secret_value() == "ada"
    assert member.form["password"].get_secret_value() == "hush-1"
    assert [value.get_secret_value() for value in member.sentinels] == ["Ada L.", "hush-2"]
    assert "hush" not in repr(member)


@pytest.fixture
def environment(monkeypatch):
    for name, value in {"ADA_PASSWORD": "hush", "SET": "hush", "HOLLOW": ""}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("name", "settings", "setting", "saw", "remedy"),
    [
        ("varnsh/a", {}, "varnsh/a", "the type 'varnsh'", "did you mean varnish?"),
        ("zzz/a", {}, "zzz/a", "the type 'zzz'", "there are akamai, apprise, azure-front-door"),
        ("varnish/a", {"node": []}, "varnish/a.node", "a setting that it does not have", "did you mean nodes?"),
        ("varnish/a", {"xyz": 1}, "varnish/a.xyz", "a setting that it does not have", "there are nodes"),
        ("varnish/a", {1: 2}, "varnish/a.1", "a setting that it does not have", "there are nodes"),
        ("varnish/a", {"nodes": ["h:80"]}, "varnish/a.nodes.0", "'h:80'", "wanted scheme and host"),
        ("cloudflare/a", {"zone": "abc"}, "cloudflare/a.token", "nothing", "Field required"),
        ("cloudflare/a", {"zone": "abc", "token": 4711}, "cloudflare/a.token", "a value of type int", "valid string"),
        ("cloudflare/a", {"zone": {"env": "SET"}, "token": "x"}, "cloudflare/a.zone", "a secret", "valid string"),
        (
            "cloudflare/a",
            {"token": {"env": "NOT_THERE"}},
            "cloudflare/a.token",
            "no environment variable NOT_T",
            "set it",
        ),
        ("cloudflare/a", {"token": {"env": "HOLLOW"}}, "cloudflare/a.token", "an empty environment variable", "set it"),
        (
            "ms-teams-webhook/a",
            {"url": "hush"},
            "ms-teams-webhook/a",
            "settings that it can't be started with",
            "correct its settings",
        ),
        (
            "twilio-sms/a",
            {"account_sid": "x", "auth_token": {"env": "SET"}, "from_phone_number": "1", "to_phone_numbers": ["1"]},
            "twilio-sms/a",
            "can't be started with",
            "correct its settings",
        ),
        (
            "custom-webhook/a",
            {"name": "a", "url": "{{nothing}}", "secrets": {"a": {"env": "SET"}}},
            "custom-webhook/a",
            "can't be started with (\"url/Placeholder(full_match='{{nothing}}'",
            "correct its settings",
        ),
        (
            "member/a",
            {"form": {"p": {"env": "ADA_PASSWORT"}}},
            "member/a.form.p",
            "no environment",
            "mean ADA_PASSWORD?",
        ),
    ],
)
@pytest.mark.usefixtures("environment")
def test_a_block_that_cannot_be_made_says_what_and_how_to_mend_it(name, settings, setting, saw, remedy):
    """The setting, what was seen, what to do; no value that could be a secret."""
    with pytest.raises(BlockError) as caught:
        make(name, settings)
    error = caught.value
    assert error.setting == setting
    assert saw in error.saw
    assert remedy in error.remedy
    assert "hush" not in str(error)
    assert "4711" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


FAULTS = [
    ("member/ada", {"login": "/login", "form": {"password": {"env": "NOT_THERE"}}}, []),
    ("member/ada", {"login": "/login", "from": {"password": {"env": "NOT_THERE"}}}, ["from: saw a setting that it does not have; did you mean form?"]),
    ("member/ada", {"login": "login", "from": {}}, ["from: saw a setting", "login: saw 'login'"]),
    ("membr/ada", {}, ["saw the type 'membr'; did you mean member?"]),
    # Microsoft's webhook reads its address as soon as it is made, and here it is elsewhere.
    ("ms-teams-webhook/ops", {"url": {"env": "NOT_THERE"}}, []),
    ("custom-webhook/ops", {"name": "a", "url": "{{nothing}}", "secrets": {"a": {"env": "NOT_THERE"}}}, ["saw settings that it can't be started with"]),
    ("ms-teams-webhook/ops", {"url": "http://hunter2.test"}, ["url: saw a secret in plain text; wanted `{env: NAME}`"]),
    ("cloudflare/shop", {"token": "hunter2"}, ["token: saw a secret in plain text", "zone: saw nothing"]),
    ("cloudfront/shop", {"distribution": "E1", "access_key_id": "hunter2", "secret_access_key": {"env": "NOT_THERE"}}, ["access_key_id: saw a secret in plain text"]),
    ("custom-webhook/ops", {"name": "a", "url": "http://a.test", "secrets": {"a": "hunter2"}}, ["secrets.a: saw a secret in plain text"]),
    ("member/ada", {"login": "/login", "form": {"user": "ada"}, "sentinels": ["Ada Lovelace"]}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "says"), FAULTS)
def test_all_that_is_wrong_with_settings_is_found_wherever_their_secrets_are(name, settings, says):
    """A site file is held against its types on a machine that has none of the passwords."""
    found = list(map(str, faults(name, settings)))
    assert len(says) == len(found)
    for one, wanted in zip(found, says, strict=True):
        assert wanted in one
        assert "hunter2" not in one
