"""What a rehearsal would run, and why it is refused."""

import json

import pytest

from roundsman.rollback.rules.fingerprint import VOLATILE, Fingerprint, PageFingerprint, broken, changes, page, pages_of
from roundsman.rollback.rules.plan import plan, planned
from tests.make import exchange, site

RELEASE = {
    "version": {"path": "/version"},
    "deploy": ["make", "deploy"],
    "rollback": ["make", "back"],
    "environments": {"staging": {"base_url": "http://staging.test", "env": {"DEPLOY_TO": "the staging"}}},
}


def shop(*, staging=False, **release):
    return site(staging=staging, release={**RELEASE, **release})


REFUSED = [
    (shop(), "staging", "", "", ""),
    (shop(environments={}), "staging", "", "", "staging: saw none in the site file; write its base_url"),
    (shop(environments={"staging": {"base_url": site().base_url}}), "staging", "", "", "staging: saw none in the site"),
    (shop(environments={}, staging=True), "staging", "", "", ""),
    (shop(deploy=[]), "staging", "", "", "release.deploy: saw none"),
    (shop(rollback=[]), "staging", "", "", "release.rollback: saw none"),
    (shop(version=None), "staging", "", "", "release.version: saw none"),
    (site(staging=True), "staging", "", "", "release.version: saw none"),
    (shop(), "stagign", "", "", "environment: saw 'stagign', wanted staging or production"),
    (
        shop(rehearsal={"timeout": "1h"}),
        "staging",
        "",
        "",
        "release.rehearsal: saw timeout and settle of 3600s and 60s",
    ),
    (shop(), "production", "shop:7", "7", ""),
    (shop(), "production", "", "7", "production: readers are here; wanted --confirm shop:VERSION"),
    (shop(), "production", "shop:6", "7", "production: saw --confirm shop:6, wanted this site and the version"),
    (shop(), "production", "barn:7", "7", "production: saw --confirm barn:7, wanted this site and the version"),
    (shop(), "production", "shop:", "", "production: the version at http"),
    (shop(staging=True), "production", "shop:7", "7", "production: saw staging: true"),
]


@pytest.mark.parametrize(("one", "environment", "confirm", "running", "says"), REFUSED)
def test_a_rehearsal_is_refused_where_it_could_harm_or_prove_nothing(one, environment, confirm, running, says):
    refusals = plan(one, environment, confirm, running).refusals
    assert bool(says) == bool(refusals)
    assert not says or refusals[0].startswith(says)


def test_a_plan_says_what_would_be_run_and_where():
    made = plan(shop(), "staging")
    assert ("http://staging.test", "staging.test") == (made.site.base_url, made.site.host)
    said = planned(made)
    assert {
        "shop, staging: http://staging.test",
        "deploy (2 times): make deploy",
        "roll back (1 time): make back",
        "with ROUNDSMAN_ENVIRONMENT=staging ROUNDSMAN_BASE_URL=http://staging.test DEPLOY_TO='the staging'",
    } <= set(said)


def test_a_secret_that_stands_in_the_site_file_is_not_shown():
    env = {"DEPLOY_TOKEN": "hush", "REGISTRY": "https://me:hush-too@registry.test/", "PIN": "1"}
    made = plan(shop(environments={"staging": {"base_url": "http://staging.test", "env": env}}), "staging")
    (line,) = [line for line in planned(made) if line.startswith("with ")]
    assert line.endswith("DEPLOY_TOKEN=... REGISTRY=https://... PIN=...")
    assert "hush" == made.variables["DEPLOY_TOKEN"]


def test_what_was_confirmed_for_production_is_kept_for_the_moment_of_the_deploy():
    assert ("7", "") == tuple(plan(shop(), where, "shop:7", "7").confirmed for where in ("production", "staging"))


def test_a_page_is_told_by_hashes_and_what_never_repeats_is_left_out():
    one = page([exchange(body=b"a", cache_control="public", date="1")] * 2, ["cache-control", "date"])
    assert (200, {"cache-control", "date"}) == (one.status, one.headers.keys())
    assert "public" not in str(one)
    two = page([exchange(body=b"a", date="1"), exchange(body=b"b", date="2")], ["cache-control", "date"])
    assert (VOLATILE, {"cache-control"}) == (two.body, two.headers.keys())
    assert 0 == page([exchange(error="timeout"), exchange()], []).status
    assert 0 == page([exchange(status=500), exchange()], []).status


BEFORE = Fingerprint("7", "b2", {"/a": PageFingerprint(200, "x", {"vary": "1"}), "/b": PageFingerprint(200, VOLATILE)})
CHANGES = [
    (BEFORE, ()),
    (Fingerprint("8", "b2", BEFORE.pages), ("version 8 instead of 7",)),
    (Fingerprint("7", "", BEFORE.pages), ("schema head unreadable instead of b2",)),
    (Fingerprint("7", "b2", BEFORE.pages, data="9f"), ("data checksum 9f instead of unreadable",)),
    (Fingerprint("7", "b2", BEFORE.pages, ms=900.0), ()),
    (Fingerprint("7", "b2", {**BEFORE.pages, "/a": PageFingerprint(404, "x")}), ("/a: status 404 instead of 200",)),
    (
        Fingerprint("7", "b2", {**BEFORE.pages, "/a": PageFingerprint(200, "y", {"vary": "2"})}),
        ("/a: another body", "/a: another vary"),
    ),
    (
        Fingerprint("7", "b2", {**BEFORE.pages, "/a": PageFingerprint(200, VOLATILE)}),
        ("/a: a body that is another one each time",),
    ),
    (Fingerprint("7", "b2", {**BEFORE.pages, "/b": PageFingerprint(200, "z")}), ()),
    (Fingerprint("7", "b2", {"/a": BEFORE.pages["/a"]}), ("/b: status unknown instead of 200",)),
]


@pytest.mark.parametrize(("back", "said"), CHANGES)
def test_what_is_not_as_it_was_before_is_said(back, said):
    assert said == changes(BEFORE, back)


def test_a_version_that_was_good_is_broken_by_a_status_or_a_schema_and_not_by_content():
    news = {"/a": PageFingerprint(200, "y"), "/b": PageFingerprint(200, VOLATILE)}
    assert () == broken(BEFORE, Fingerprint("7", "b2", news, data="9f"))
    lost = {"/a": PageFingerprint(404, "x")}
    said = ("schema head c3 instead of b2", "/a: status 404 instead of 200", "/b: status unknown instead of 200")
    assert said == broken(BEFORE, Fingerprint("7", "c3", lost))


def test_a_fingerprint_that_was_kept_is_the_same():
    one = Fingerprint("7", "b2", BEFORE.pages, "9f", 1.25)
    assert one == Fingerprint.of_json(json.loads(json.dumps(one.as_json())))


def test_pages_are_those_of_the_site_file_or_an_example_of_each_rule():
    assert ("/x",) == pages_of(shop(rehearsal={"pages": ["/x"]}))
    assert site().rules[0].examples.cached[:1] == pages_of(site())
