"""Ages that stand still or go too far, and lifetimes that promise what they can't keep."""

import pytest

from roundsman.cache.rules.ageing import findings
from roundsman.site.rules.site_edge import targeted_of
from tests.make import NOW, exchange, hit, miss, site


def troubles(seen, late=(), path="/a", **cache):
    shop = site({"cache": {"by": "everyone", **cache}})
    return {
        one.claim.removeprefix("cache-headers/"): (one.outcome.value, one.saw)
        for one in findings(shop.rules[0], seen, late)
        if one.outcome != "pass"
    }


STUCK = [miss(age="0"), hit(age="0"), hit(age="0")]
GROWS = [
    (STUCK, hit(age="2", at=NOW + 2.2), {}),
    (STUCK, hit(age="0", at=NOW + 2.2), {"age-grows": ("fail", "Age 0, and 0 after 2.2s")}),
    (STUCK, hit(age="0", at=NOW + 2.2, body=b"new"), {"age-grows": ("fail", "Age 0, and 0 after 2.2s, another body")}),
    (STUCK, hit(age="0", at=NOW + 1.2), {}),
    # another server of the same place has a copy of its own
    (STUCK, hit(age="9", at=NOW + 2.2), {}),
    ([hit(age="7"), hit(age="0")], hit(age="0", at=NOW + 2.2), {}),
    # it says itself that it asked
    (STUCK, miss(age="0", at=NOW + 2.2), {}),
    ([hit(age="0", cache_control="max-age=2")], hit(age="0", at=NOW + 2.2), {}),
    ([hit(age="0", cache_control="")], hit(age="0", at=NOW + 2.2), {}),
    ([hit(), hit()], hit(at=NOW + 2.2), {}),
    (STUCK, exchange(error="timeout"), {}),
]


@pytest.mark.parametrize(("seen", "late", "wanted"), GROWS)
def test_an_age_that_stands_still_is_no_copy_that_is_kept(seen, late, wanted):
    assert wanted == troubles(seen, [late])


def test_an_age_that_grows_is_told():
    shop = site()
    assert ["Age 0, and 2 after 2.2s", "HIT with Age 0s of 10m"] == [
        one.saw for one in findings(shop.rules[0], STUCK, [hit(age="2", at=NOW + 2.2)])
    ]


OWN = ", unless the edge has a lifetime of its own"
OVERDUE = [
    ([hit(age="599")], {}, {}),
    ([hit(age="601")], {}, {}),
    # The edge may have a lifetime of its own, unless the rule promises one.
    ([hit(age="700")], {}, {"overdue": ("warn", f"HIT with Age 700s of 10m{OWN}")}),
    ([hit(age="700")], {"edge_ttl": "10m..1h"}, {}),
    ([hit(age="7200")], {"edge_ttl": "10m..1h"}, {"overdue": ("fail", "HIT with Age 2h of 1h")}),
    ([hit(age="7200")], {"edge_ttl": ">=10m"}, {}),
    ([hit(age="700", cache_control="")], {"edge_ttl": "10m"}, {"overdue": ("fail", "HIT with Age 700s of 10m")}),
    # These keep their copies until the next deploy.
    ([hit(age="300", cache_control="public, max-age=0, must-revalidate", x_vercel_id="fra1::x")], {}, {}),
    ([hit(age="300", cache_control="public, max-age=0, must-revalidate", server="Netlify")], {}, {}),
    ([hit(age="300", cache_control="public, max-age=5")], {}, {"overdue": ("warn", f"HIT with Age 5m of 5s{OWN}")}),
    ([hit(age="300", cache_control="public, max-age=0")], {}, {"overdue": ("warn", f"HIT with Age 5m of 0s{OWN}")}),
    # A cache behind the edge is not the edge.
    ([exchange(cf_cache_status="DYNAMIC", cache_control="max-age=600", age="700")], {}, {}),
    ([hit(age="630", cache_control="max-age=600, stale-while-revalidate=60")], {}, {}),
    ([hit(age="690", cache_control="max-age=600, stale-while-revalidate=60")], {}, {"overdue": ("warn", f"HIT with Age 690s of 10m{OWN}")}),
    ([hit(age="630", cache_control="max-age=600, must-revalidate, stale-while-revalidate=60")], {}, {"overdue": ("warn", f"HIT with Age 630s of 10m{OWN}"), "stale-while": ("warn", "stale-while-revalidate beside must-revalidate, which switches it off")}),
    ([exchange(cache_control="max-age=600", age="700", x_cache_status="STALE")], {}, {}),
    ([miss(age="700")], {}, {}),
    ([hit(age="700", cache_control="")], {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "promise", "wanted"), OVERDUE)
def test_a_hit_past_its_lifetime_is_stale_without_a_word(seen, promise, wanted):
    assert wanted == troubles(seen, **promise)


GRACE = [
    (["Surrogate-Control"], {"surrogate_control": "max-age=600+60"}, 630, False),
    (["Surrogate-Control"], {"surrogate_control": "max-age=600+60"}, 690, True),
    (["CDN-Cache-Control"], {"cdn_cache_control": "max-age=600, stale-while-revalidate=60"}, 630, False),
    (["CDN-Cache-Control"], {"cdn_cache_control": "max-age=600, stale-while-revalidate=60, must-revalidate"}, 630, True),
    # What can't be read is not obeyed.
    (["CDN-Cache-Control"], {"cdn_cache_control": "max-age= 900, stale-while-revalidate=90"}, 630, True),
]  # fmt: skip


@pytest.mark.parametrize(("targeted", "fields", "age", "late"), GRACE)
def test_a_copy_may_outlive_its_time_as_long_as_the_field_that_the_edge_obeys_says(targeted, fields, age, late):
    shop = site(targeted_fields=targeted)
    seen = [hit(age=str(age), **fields)]
    told = {one.claim: one.outcome for one in findings(shop.rules[0], seen, (), targeted_of(shop))}
    assert ("warn" if late else "pass") == told["cache-headers/overdue"]


STALE_WHILE = [
    ("s-maxage=600, stale-while-revalidate=60", "stale-while-revalidate beside s-maxage, which switches it off"),
    ("s-maxage=600, stale-while-revalidate=60, stale-if-error=9", "stale-while-revalidate and stale-if-error beside s-maxage, which switches it off"),
    ("max-age=600, stale-while-revalidate=60", None),
    ("s-maxage=600", None),
]  # fmt: skip


@pytest.mark.parametrize(("said", "saw"), STALE_WHILE)
def test_s_maxage_switches_off_what_stands_beside_it(said, saw):
    assert ({"stale-while": ("warn", saw)} if saw else {}) == troubles([hit(cache_control=said)])


LONG = "public, max-age=31536000"
NAMES = [
    ("/app.css", LONG, {}, "365d in browsers"),
    ("/articles/how-to-plant-tomatoes", LONG, {}, "365d in browsers"),
    ("/articles/2024-10-12/tomatoes", LONG, {}, "365d in browsers"),
    ("/app.css", f"{LONG}, immutable", {"browser_ttl": ">=1d"}, "immutable, 365d in browsers"),
    ("/app.css", "max-age=60, immutable", {}, "immutable, 1m in browsers"),
    ("/app.css", LONG, {"browser_ttl": ">=1d"}, None),
    ("/app.css", "max-age=3600", {}, None),
    ("/app.css", "s-maxage=31536000, max-age=60", {}, None),
    ("/app.3f2a9c1b.css", f"{LONG}, immutable", {}, None),
    ("/assets/index-BX3k2_9a.js", LONG, {}, None),
    ("/3f2a9c1b0d/app.css", LONG, {}, None),
    ("/app.css?v=12", LONG, {}, None),
    ("/index.html", f"{LONG}, immutable", {}, "immutable, 365d in browsers"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "said", "promise", "saw"), NAMES)
def test_what_browsers_keep_for_long_has_a_hash_in_its_name(path, said, promise, saw):
    assert ({"browser-for-long": ("warn", saw)} if saw else {}) == troubles([hit(path, said)], **promise)


HASHED = [
    # Vite, Rollup, Nuxt, SvelteKit: eight letters of 64, often without a digit
    "/assets/index-BfPGwQkd.js", "/assets/index-BX3k2_9a.js", "/assets/index-Bf-GwQkd.js", "/assets/index--fPGwQkd.js",
    "/_nuxt/BfPGwQkd.js", "/_astro/index.BfPGwQkd.css", "/assets/index-BfPGwQkd.js.map", "/assets/index-DfgUVoxk.js",
    # esbuild, webpack, Parcel
    "/chunk-Q7OYCKXK.js", "/chunk-ABCDEFGH.js", "/main.3f2a9c1d.js", "/static/js/main.3f2a9c1d.chunk.js", "/3f2a9c1d0b77e12a90cc.png",
    "/main.31415926.js", "/main.abcdef12.js", "/app.3F2A9C1D.css",
    # Rails, Django, Next.js
    f"/assets/application-{'0f3ab29c' * 8}.css", "/static/base.27e20196a850.js", "/_next/static/Xr9-QkdBfPGw_3aZ71Lmn/_buildManifest.js",
    "/_next/static/media/e4af272ccee01ff0-s.p.woff2", "/3f2a1b9cdeadbeef-400x300.jpg",
    "/_next/image?url=%2F_next%2Fstatic%2Fmedia%2Fhero.1a2b3c4d.png&w=640",
    # A version in the path, and a hash behind the ending
    "/jquery/1.9.1/jquery.min.js", "/jquery-3.7.1.min.js", "/npm/vue@3.4.21/dist/vue.global.js", "/controltag.js.0123456789abcdef",
    "/3f2a9c1b0d/app.css", "/app.css?3f=1&h=3f2a9c1b0d", "/page?version=7", "/page.html?ver=2",
]  # fmt: skip
NAMED = [
    "/articles/top-10-gardens", "/blog/2024-review-of-the-year", "/news/covid-19-update", "/articles/3f2a9c1b0d",
    "/articles/main.3f2a9c1d.html", "/3f2a9c1b0d/index.HTM", "/articles/507f1f77bcf86cd799439011",
    "/top-10-gardens/photo.jpg", "/covid-19-update.png", "/photo_of_2024.jpg", "/my-19-photo.jpg", "/foo--gardens.jpg",
    "/x-4k-video.mp4", "/IMG_20240101_123456.jpg", "/DSC00012.jpg", "/report-20240101.pdf", "/logo-1200x630.png",
    "/v1/widget.js", "/npm/vue@3/vue.js", "/docs/1.9/index.html", "/bootstrap5.css", "/TweenMax.js", "/iPhone15Pro.jpg", "/OpenSans-SemiBold.woff2",
    "/_next/image?url=%2Fimg%2Fhero-2024.png&w=640", "/decade-facade-photo.jpg",
    "/uploads/20241012/12345678/app.css", "/app.css?id=12345678", "/app.css?lang=en", "/.css", "/",
]  # fmt: skip


@pytest.mark.parametrize(("path", "holds"), [*((path, True) for path in HASHED), *((path, False) for path in NAMED)])
def test_a_hash_is_told_from_words_and_numbers(path, holds):
    assert holds is not bool(troubles([hit(path, f"{LONG}, immutable")]))
