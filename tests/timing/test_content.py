"""What a candidate answers otherwise, and what the baseline answers otherwise every time."""

import itertools
from dataclasses import replace

import pytest

from roundsman.report.rules.exchange import Probe
from roundsman.timing.rules.content import differences
from roundsman.timing.rules.interleaving import Arm
from tests.timing.arms import answers, only

NAMES = {Arm.BASELINE: "old.test", Arm.AGAIN: "old.test", Arm.CANDIDATE: "new.test:8080"}


def found(**more):
    return {one.field: one for one in differences({"/a": answers(10, **more)})["/a"]}


@pytest.mark.parametrize(
    ("more", "field", "shown"),
    [
        ({"status": 404}, "status", ("200", "404")),
        ({"cache_control": "no-store"}, "cache-control", ("public, max-age=600", "no-store")),
        ({"cache_control": ""}, "cache-control", ("public, max-age=600", "")),
        ({"vary": "cookie"}, "vary", ("", "cookie")),
        ({"set_cookie": "session=ada"}, "set-cookie", ("", "")),
        ({"x_new": "1"}, "x-new", ("", "")),
        ({"body": b"other"}, "body", ("", "")),
    ],
)
def test_a_field_that_only_the_candidate_has_otherwise_is_told(more, field, shown):
    (one,) = found(of=only(Arm.CANDIDATE, **more)).values()
    assert (field, 50, 0, 50, shown) == (one.field, one.apart, one.noise, one.pairs, (one.before, one.now))


@pytest.mark.parametrize("name", ["x_request_id", "etag", "date", "set_cookie", "x_varnish"])
def test_a_field_that_is_never_the_same_is_noise(name):
    count = itertools.count()
    assert {} == found(of=lambda *_: {name: str(next(count)), "body": str(next(count)).encode()})


def test_a_field_that_flickers_is_news_only_when_it_flickers_more():
    """The baseline says otherwise one time in ten; the candidate as well, or every other time."""
    alike = found(of=lambda arm, number: {"x_mood": "bad"} if number % 10 == arm else {})
    assert {} == alike
    (more,) = found(
        of=lambda arm, number: {"x_mood": "bad"} if number % (2 if arm is Arm.CANDIDATE else 10) == 0 else {}
    ).values()
    assert ("x-mood", 20, 0) == (more.field, more.apart, more.noise)


def test_one_odd_answer_is_no_release():
    assert {} == found(of=lambda arm, number: {"status": 404} if (arm, number) == (Arm.CANDIDATE, 7) else {})


def test_how_old_a_copy_is_or_who_handed_it_out_is_no_difference():
    assert {} == found(of=only(Arm.CANDIDATE, age="7", x_cache="MISS from b", date="Mon", via="1.1 b"))


def test_each_arm_may_name_itself():
    """The candidate is asked by another name than the baseline, and both lead to their own."""
    seen = answers(10, of=lambda arm, _: {"location": f"http://{NAMES[arm]}/b"})
    seen = [replace(one, exchange=replace(one.exchange, probe=Probe(f"http://{NAMES[one.arm]}/a"))) for one in seen]
    assert () == differences({"/a": seen})["/a"]


def test_stored_copies_are_compared_only_in_what_every_copy_has():
    """Both baselines share a copy, so that a body with the time in it would look like news."""
    other = {"x_cache": "HIT", "body": b"made at another time", "etag": "2", "vary": "cookie"}
    assert ["vary"] == list(found(of=lambda arm, _: other if arm is Arm.CANDIDATE else {"x_cache": "HIT"}))


def test_answers_that_were_fetched_are_preferred_to_stored_ones():
    def answer(arm, number):
        return {"x_cache": "HIT"} if number % 2 else {"body": str(int(arm)).encode()} if arm is Arm.CANDIDATE else {}

    (one,) = found(of=answer).values()
    assert ("body", 25) == (one.field, one.pairs)


@pytest.mark.parametrize("arms", [(Arm.BASELINE, Arm.CANDIDATE), (Arm.CANDIDATE,), ()])
def test_without_all_arms_nothing_is_told(arms):
    assert {} == found(arms=arms, of=only(Arm.CANDIDATE, status=500))


def test_all_routes_are_corrected_together():
    """Five disagreements of ten are p = .016: news alone, and not among thirty fields that agree."""
    alone = answers(2, of=lambda arm, number: {"x_mood": "bad"} if arm is Arm.CANDIDATE and number < 5 else {})
    assert 1 == len(differences({"/a": alone})["/a"])
    once = [answers(2, of=lambda arm, number: {"x_mood": "bad"} if arm is Arm.CANDIDATE and number < 1 else {})] * 30
    many = {"/a": alone, **{f"/{place}": one for place, one in enumerate(once)}}
    assert 0 == len(differences(many)["/a"])
