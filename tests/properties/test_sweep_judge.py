"""A judge that remembers what was fine says of every answer what one without a memory says."""

import random

from roundsman.sweep.rules.judge import Judge, judge
from tests.make import NOW, exchange, site

RULES = [
    {
        "cache": {"by": "everyone", "edge_ttl": "5m..1h", "browser_ttl": "<=5m", "vary": ["accept-encoding"]},
        "bypass": [{"when": "path /a/draft/*", "because": "drafts"}, {"when": "query token", "because": "drafts"}],
        "examples": {"cached": ["/a/1"], "not_cached": ["/a/never"]},
    },
    {
        "name": "plain",
        "paths": ["/p/**"],
        "cache": {"by": "everyone", "edge_ttl": "5m..1h"},
        "examples": {"cached": ["/p/1"]},
    },
    {"name": "me", "paths": ["/me/**"], "cache": {"by": "member"}, "examples": {"not_cached": ["/me/1"]}},
]
SITES = [
    site(*RULES),
    site(*RULES, edge="cloudflare/shop"),
    site(*RULES, targeted_fields=["CDN-Cache-Control"]),
]

EARLY, LATE = "Fri, 15 Jan 2027 08:00:30 GMT", "Fri, 15 Jan 2027 08:30:00 GMT"

#: Of each part of an answer, what it can be; the first is what it mostly is.
PARTS = {
    "path": ["/none", "/a/1", "/a/2", "/a/never", "/a/draft/3", "/a/2?token=1", "/p/1", "/p/2", "/me/1"],
    "cache_control": [
        "no-store", "max-age=600", "public, max-age=600", "s-maxage=600, max-age=60", "s-maxage=600", "private",
        "max-age=1", "no-cache", "public", "max-age=600, must-revalidate", "",
    ],
    "status": [200, 302, 404, 410, 500],
    "error": ["", "timeout"],
    "first_byte": [0.001, 5.0],
    "at": [NOW, NOW + 9],
    "date": ["Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 07:59:00 GMT", ""],
    "expires": ["", "0", EARLY, LATE, [LATE, LATE], [LATE, f"{LATE} "], [LATE, EARLY]],
    "vary": ["", "Accept-Encoding", "Cookie"],
    "age": ["", "0", "1", "4", "30", "3, 9"],
    "x_cache": ["MISS", "HIT", ""],
    "cf_cache_status": ["", "HIT", "BYPASS", "DYNAMIC"],
    "cdn_cache_control": ["", "max-age=600", "max-age=9", "no-store"],
}  # fmt: skip
#: A lifetime by Expires alone, and one that is said twice: chance seldom finds them.
SELDOM = [{"expires": LATE}, {"expires": [LATE, LATE]}]


def answer(parts):
    return exchange(**{name: value for name, value in parts.items() if value != ""})


def test_a_judge_that_remembers_finds_the_same_as_one_that_does_not():
    """Each answer that is fine, and then all that differ from it in one part: what was fine must not hide them."""
    chance, fine, other = random.Random(9), 0, 0
    while fine < 80:
        where, first = chance.choice(SITES), {name: chance.choice(values) for name, values in PARTS.items()}
        if fine < len(SELDOM):
            first = {name: values[0] for name, values in PARTS.items()}
            first |= {"path": "/p/1", "cache_control": "", **SELDOM[fine]}
        if judge(where, first["path"], answer(first))[1]:
            continue
        fine += 1
        remembers = Judge(where)
        parts = [first, *({**first, name: value} for name, values in PARTS.items() for value in values)]
        for one in [*parts, *parts]:
            wanted = judge(where, one["path"], answer(one))
            assert wanted == remembers(one["path"], answer(one)), one
            other += wanted[1] is not None
    assert other > 500
