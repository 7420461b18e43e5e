"""What one copy proves, in numbers: each limit from both sides, each sentence as people read it."""

from dataclasses import replace

import pytest

from roundsman.purge.rules import evidence
from roundsman.purge.rules.evidence import ProofTerms
from roundsman.site.rules.promises import Marker
from tests.make import NOW, exchange

ETAG = Marker(header="etag")


def seen(said="HIT", age=None, after=2.0, body=b"page", **more):
    """An answer so many seconds after the purge, which was at NOW."""
    headers = {"x_cache": said} | ({} if age is None else {"age": str(age)})
    return exchange("/a", at=NOW + after, first_byte=0.0, body=body, **{**headers, **more})


def terms(marker=None, **more):
    return ProofTerms(marker, NOW, **more)


OTHER = seen(body=b"other")
HIT, MISS = seen(), seen("MISS")


@pytest.mark.parametrize(
    ("answers", "warm", "kept"),
    [
        ([HIT], False, False),
        ([HIT, HIT], True, True),
        ([MISS, HIT], False, True),
        ([HIT, MISS], False, False),
        ([OTHER, HIT], False, False),
        ([HIT, OTHER], False, False),
        ([OTHER, HIT, HIT], True, True),
        ([HIT, OTHER, HIT], False, False),
        ([MISS, HIT, HIT], True, True),
        ([HIT, MISS, HIT], False, True),
        ([HIT, seen("nobody knows")], False, False),
    ],
)
def test_two_hits_on_one_copy_are_warm_and_one_after_its_fetch_was_kept(answers, warm, kept):
    assert (warm, kept) == (evidence.warm_enough(answers), evidence.kept_again(answers))


@pytest.mark.parametrize(
    ("lifetime", "age", "waited", "ends"),
    [
        (23, 22, 0, None),
        (24, 23, 0, 1.0),
        (300, 288, 0, None),
        (300, 289, 0, 11.0),
        (300, 295, 2, 3.0),
        (300, 295, 5, 0.0),
        (300, 299, 5, 0.0),
        (None, 299, 0, None),
    ],
)
def test_a_copy_ends_during_a_proof_in_its_last_twelve_seconds(lifetime, age, waited, ends):
    last = seen(age=age, cache_control=f"max-age={lifetime}" if lifetime else "public")
    assert ends == evidence.ends_in([seen(), last], last.started + waited)


def test_a_targeted_field_says_when_a_copy_ends():
    last = seen(age=55, cache_control="max-age=3600", cdn_cache_control="max-age=60")
    assert (None, 5.0) == (
        evidence.ends_in([last], last.started),
        evidence.ends_in([last], last.started, ["cdn-cache-control"]),
    )


@pytest.mark.parametrize(
    ("earlier", "later", "stands"),
    [
        (seen(age=5), seen(age=5, after=4), True),
        (seen(age=5), seen(age=4, after=4), True),
        (seen(age=5), seen(age=5, after=3), False),
        (seen(age=5), seen(age=6, after=9), False),
        (seen(age=5), seen(after=4), False),
        (seen(), seen(age=5, after=4), False),
        (seen(age=5), seen(age=5, after=4, body=b"other"), False),
        (seen(age=0), seen("MISS", age=0, after=4), False),
    ],
)
def test_an_age_stands_still_when_it_grows_less_than_the_time_that_passed(earlier, later, stands):
    assert stands is evidence.age_stands_still(earlier, later)


@pytest.mark.parametrize(("age", "seconds"), [(None, 0.0), (0, 2.1), (1, 1.1), (2, 0.1), (3, 0.0)])
def test_two_births_are_told_apart_after_twice_the_grain_of_an_age(age, seconds):
    assert seconds == pytest.approx(evidence.age_to_wait(seen(age=age), NOW + 2))


@pytest.mark.parametrize(
    ("marker", "body", "mark"),
    [
        (None, b"v7", ""),
        (ETAG, b"v7", '"one"'),
        (Marker(header="x-none"), b"v7", ""),
        (Marker(pattern=r"v\d"), b"a v7 b", "v7"),
        (Marker(pattern=r"v(\d)"), b"a v7 b", "7"),
        (Marker(pattern=r"v\d"), b"\xff v7", "v7"),
        (Marker(pattern=r"v\d"), b"none", ""),
        (Marker(pattern="X*"), None, ""),
    ],
)
def test_a_marker_is_a_header_or_the_first_group_of_a_pattern(marker, body, mark):
    assert mark == evidence.mark(replace(seen(etag='"one"'), body=body), marker)


CONTENT, BIRTH, LABEL = "proven by content", "by birth time", "by label only"
ONE, TWO = {"etag": '"one"'}, {"etag": '"two"'}
NEW = [
    # By content.
    ("a new marker", seen(**ONE), [seen(age=0, **TWO)], terms(ETAG), "a new marker (proven by content)", True, CONTENT),
    (
        "a new marker without an Age",
        seen(**ONE),
        [seen(**TWO)],
        terms(ETAG),
        "a new marker (proven by content)",
        True,
        CONTENT,
    ),
    (
        "born before",
        seen(**ONE),
        [seen(age=5, **TWO)],
        terms(ETAG),
        "a new marker, yet born 3.0s before the purge",
        None,
        CONTENT,
    ),
    ("another etag", seen(**ONE), [seen("MISS", **TWO)], terms(), "another etag (proven by content)", True, CONTENT),
    (
        "another etag with a birth",
        seen(**ONE),
        [seen(age=1, **TWO)],
        terms(),
        "another etag (proven by content)",
        True,
        CONTENT,
    ),
    (
        "another etag of a hit",
        seen(**ONE),
        [seen(**TWO)],
        terms(),
        "another etag, HIT; name a marker in the rule, to prove by it",
        None,
        LABEL,
    ),
    (
        "another date",
        seen(last_modified="a"),
        [seen("MISS", last_modified="b")],
        terms(),
        "another last-modified (proven by content)",
        True,
        CONTENT,
    ),
    (
        "another status",
        seen(),
        [seen("MISS", status=404)],
        terms(),
        "status 200, now 404 (proven by content)",
        True,
        CONTENT,
    ),
    (
        "a weak etag is the same one",
        seen(etag='W/"one"'),
        [seen("MISS", **ONE)],
        terms(),
        "content unchanged, MISS (by label only)",
        True,
        LABEL,
    ),
    (
        "an etag that came",
        seen(),
        [seen("MISS", **ONE)],
        terms(),
        "content unchanged, MISS (by label only)",
        True,
        LABEL,
    ),
    ("an etag that went", seen(**ONE), [seen("MISS")], terms(), "content unchanged, MISS (by label only)", True, LABEL),
    (
        "a marker that went",
        seen(**ONE),
        [seen("MISS")],
        terms(ETAG),
        "content unchanged, MISS (by label only)",
        True,
        LABEL,
    ),
    (
        "the old marker",
        seen(**ONE),
        [seen(age=0, **ONE)],
        terms(ETAG, changed=True),
        "the old marker, though the content changed",
        False,
        CONTENT,
    ),
    (
        "no marker",
        seen(**ONE),
        [seen(age=0)],
        terms(ETAG, changed=True),
        "no marker, though the content changed",
        False,
        CONTENT,
    ),
    (
        "the old content",
        seen(),
        [seen(age=0)],
        terms(changed=True),
        "the old content, though the content changed",
        False,
        CONTENT,
    ),
    # By birth time.
    (
        "after",
        seen(),
        [seen(age=0)],
        terms(),
        "content unchanged, born 2.0s after the purge (by birth time)",
        True,
        BIRTH,
    ),
    ("at", seen(), [seen(age=2)], terms(), "content unchanged, born 0.0s after the purge (by birth time)", True, BIRTH),
    (
        "within the grain",
        seen(),
        [seen(age=3)],
        terms(),
        "content unchanged, born 1.0s before the purge (by birth time)",
        True,
        BIRTH,
    ),
    (
        "before",
        seen(),
        [seen(age=4)],
        terms(),
        "content unchanged, born 2.0s before the purge (by birth time)",
        False,
        BIRTH,
    ),
    (
        "half a second after",
        seen(),
        [seen(age=2, after=2.5)],
        terms(),
        "content unchanged, born 0.5s after the purge (by birth time)",
        True,
        BIRTH,
    ),
    (
        "a change by itself",
        seen(),
        [seen(age=4)],
        terms(certain=False),
        "content unchanged, born 2.0s before the purge (by birth time)",
        None,
        BIRTH,
    ),
    (
        "other content",
        seen(),
        [seen(age=0, body=b"other")],
        terms(changed=True),
        "other content, born 2.0s after the purge (by birth time)",
        True,
        BIRTH,
    ),
    (
        "the next one's",
        seen(),
        [seen("MISS"), seen(age=1, after=3)],
        terms(),
        "content unchanged, born 2.0s after the purge (by birth time)",
        True,
        BIRTH,
    ),
    (
        "not the third one's",
        seen(),
        [seen("MISS"), seen(), seen(age=1, after=3)],
        terms(),
        "content unchanged, MISS (by label only)",
        True,
        LABEL,
    ),
    (
        "not that of another copy",
        seen(),
        [seen("MISS"), seen(age=1, body=b"other")],
        terms(),
        "content unchanged, MISS (by label only)",
        True,
        LABEL,
    ),
    # By the label.
    ("a hit", seen(), [seen()], terms(), "content unchanged, HIT (by label only)", False, LABEL),
    ("a miss", seen(), [seen("MISS")], terms(), "content unchanged, MISS (by label only)", True, LABEL),
    ("no word", seen(), [seen("?")], terms(), "content unchanged, UNKNOWN (by label only)", None, LABEL),
    (
        "a change by itself, by label",
        seen(),
        [seen()],
        terms(certain=False),
        "content unchanged, HIT (by label only)",
        None,
        LABEL,
    ),
    (
        "a label that tells nothing",
        seen(),
        [seen()],
        terms(labels_tell=False),
        "content unchanged, HIT (by label only)",
        None,
        LABEL,
    ),
    (
        "a miss tells all the same",
        seen(),
        [seen("MISS")],
        terms(labels_tell=False),
        "content unchanged, MISS (by label only)",
        True,
        LABEL,
    ),
    (
        "an Age that stands still",
        seen(),
        [seen(age=0)],
        terms(age_tells=False),
        "content unchanged, HIT, with an Age that stands still (by label only)",
        False,
        LABEL,
    ),
]


@pytest.mark.parametrize(
    ("old", "answers", "given", "saw", "holds", "strength"), [row[1:] for row in NEW], ids=[row[0] for row in NEW]
)
def test_a_copy_is_new_by_content_then_birth_then_label(old, answers, given, saw, holds, strength):
    found = evidence.new(old, answers, given)
    assert (saw, holds, strength) == (found.observed, found.holds, found.strength)


FIRST = seen("MISS", body=b"new")
LATE = [
    ("refused", HIT, seen(status=503, body=b"new"), terms(), "503, which says nothing of its copy", None, LABEL),
    ("gone", HIT, seen(status=404, body=b"new"), terms(), "HIT, the new content", True, CONTENT),
    ("the new content", HIT, seen(body=b"new"), terms(), "HIT, the new content", True, CONTENT),
    ("the old content", HIT, seen(), terms(), "HIT, the old content again", False, CONTENT),
    ("a third one", HIT, seen(body=b"third"), terms(), "HIT, other content", True, LABEL),
    (
        "a third one, born after",
        HIT,
        seen(body=b"third", age=1),
        terms(),
        "HIT, born 1.0s after the purge",
        True,
        BIRTH,
    ),
    ("the same all along", FIRST, seen(body=b"new"), terms(), "HIT, the same content", True, LABEL),
    ("born within the grain", FIRST, seen(body=b"new", age=3), terms(), "HIT, born 1.0s before the purge", True, BIRTH),
    ("born before", FIRST, seen(body=b"new", age=4), terms(), "HIT, born 2.0s before the purge", False, BIRTH),
    (
        "a change by itself",
        FIRST,
        seen(body=b"new", age=4),
        terms(certain=False),
        "HIT, born 2.0s before the purge",
        None,
        BIRTH,
    ),
    (
        "an Age that stands still",
        FIRST,
        seen(body=b"new", age=4),
        terms(age_tells=False),
        "HIT, the same content",
        True,
        LABEL,
    ),
]


@pytest.mark.parametrize(
    ("old", "late", "given", "saw", "holds", "strength"), [row[1:] for row in LATE], ids=[row[0] for row in LATE]
)
def test_a_late_look_finds_the_new_copy_or_a_newer_one(old, late, given, saw, holds, strength):
    found = evidence.still_new(old, [FIRST, OTHER], late, given)
    assert (saw, holds, strength) == (found.observed, found.holds, found.strength)


def test_a_refusal_all_along_is_judged_as_a_page():
    refused = seen(status=503)
    assert "HIT, the same content" == evidence.still_new(refused, [refused], refused, terms()).observed
    assert "HIT, same content" == evidence.untouched(refused, refused, terms()).observed


ELSEWHERE = "MISS from b"
UNTOUCHED = [
    ("the copy that it was", HIT, seen(age=5), terms(), "HIT, same content, born 3.0s before the purge", True, BIRTH),
    ("within the grain", HIT, seen(age=3), terms(), "HIT, same content, born 1.0s before the purge", False, BIRTH),
    ("born after", HIT, seen(age=0), terms(), "HIT, same content, born 2.0s after the purge", False, BIRTH),
    ("without an Age", HIT, seen(), terms(), "HIT, same content", True, LABEL),
    ("an Age that stands still", HIT, seen(age=0), terms(age_tells=False), "HIT, same content", True, LABEL),
    ("fetched anew", HIT, seen("MISS"), terms(), "MISS, same content", False, LABEL),
    (
        "other content",
        HIT,
        seen(body=b"other", age=5),
        terms(),
        "HIT, other content, born 3.0s before the purge",
        False,
        BIRTH,
    ),
    (
        "another marker",
        seen(**ONE),
        seen(age=5, **TWO),
        terms(ETAG),
        "HIT, other content, born 3.0s before the purge",
        False,
        BIRTH,
    ),
    ("refused", HIT, seen(status=429), terms(), "429, which says nothing of its copy", None, LABEL),
    ("gone", HIT, seen("MISS", status=404), terms(), "MISS, same content", False, LABEL),
    (
        "another server",
        seen("HIT from a"),
        seen(ELSEWHERE),
        terms(),
        "MISS, same content, and another server answered (b)",
        None,
        LABEL,
    ),
    ("another server with the copy", seen("HIT from a"), seen("HIT from b"), terms(), "HIT, same content", True, LABEL),
    ("the same server", seen("HIT from b"), seen(ELSEWHERE), terms(), "MISS, same content", False, LABEL),
    ("a server without a name", HIT, seen(ELSEWHERE), terms(), "MISS, same content", False, LABEL),
]


@pytest.mark.parametrize(
    ("before", "after", "given", "saw", "holds", "strength"),
    [row[1:] for row in UNTOUCHED],
    ids=[row[0] for row in UNTOUCHED],
)
def test_a_neighbour_is_the_copy_that_it_was(before, after, given, saw, holds, strength):
    found = evidence.untouched(before, after, given)
    assert (saw, holds, strength) == (found.observed, found.holds, found.strength)


def test_who_refuses_says_nothing_of_a_copy():
    refusing = {status for status in range(100, 600) if evidence.refuses(status)}
    assert {401, 403, 407, 408, 425, 429, 451, *range(500, 600)} == refusing
