"""A site's sitemaps as they are read over the network, also from a site that means no good."""

import gzip
import re
import time

import pytest

from roundsman.site.rules.site import Site
from roundsman.sweep import sitemaps
from roundsman.sweep.rules.robots import MAX_ROBOTS_BYTES
from roundsman.sweep.sitemaps import RobotsError, read_sitemaps
from tests.database.shop import SPACE, serving


@pytest.fixture
def shop():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sitemaps, "RETRY_PAUSES_SECONDS", (0.01, 0.02, 0.03))


@pytest.fixture
def read(shop, tmp_path):
    def reading(**more):
        rule = {
            "name": "all",
            "paths": ["/**"],
            "cache": {"by": "everyone"},
            "examples": {"cached": ["/"]},
            "expected_result": "It answers.",
            "rollback": {"note": "none", "command": ["true"]},
        }
        site = Site(
            site="shop", base_url=shop.url, owner="web <web@shop.test>", manners={"timeout": "5s"}, rules=[rule]
        )
        paths = []
        return read_sitemaps(site, paths.extend, folder=tmp_path / "kept", **more), paths

    return reading


def said(listed):
    return [str(one) for one in listed.unread]


def test_all_files_of_an_index_are_read_once_and_what_robots_forbids_is_left_out(shop, read):
    shop.robots("User-agent: *", "Disallow: /private", f"Sitemap: {shop.url}/index.xml", "Sitemap: /index.xml")
    shop.index("/index.xml", "/a.xml", "/b.xml.gz", "/a.xml")
    shop.urls("/a.xml", "/1", "/2", "/private/3")
    shop.urls("/b.xml.gz", "/4?page=2", packed=True)
    listed, paths = read()
    assert ["/1", "/2", "/4?page=2"] == paths
    assert (3, 3, 1, []) == (listed.files, listed.paths, listed.disallowed, listed.unread)
    assert ["/robots.txt", "/index.xml", "/a.xml", "/b.xml.gz"] == shop.asked


@pytest.mark.parametrize("start", [(), ["/other.xml"]])
def test_without_a_word_from_robots_it_is_the_usual_file_or_the_one_that_was_named(start, shop, read):
    shop.urls("/sitemap.xml", "/usual")
    shop.urls("/other.xml", "/other")
    assert ["/other" if start else "/usual"] == read(start=start)[1]


def test_an_unchanged_file_comes_from_the_disk_and_a_changed_one_anew(shop, read):
    shop.urls("/sitemap.xml", "/1", packed=True)
    first, second = read(), read()
    assert (0, 1) == (first[0].unchanged, second[0].unchanged)
    assert ["/1"] == first[1] == second[1]
    shop.urls("/sitemap.xml", "/2", ETag='"2"')
    changed, paths = read()
    assert (0, ["/2"]) == (changed.unchanged, paths)


def test_a_kept_file_that_was_spoiled_is_not_believed(shop, read, tmp_path):
    shop.urls("/sitemap.xml", "/1")
    read()
    [kept] = (tmp_path / "kept").iterdir()
    kept.write_bytes(b"no validators\n<urlset/>")
    assert ["/1"] == read()[1]


def test_a_file_that_broke_off_is_told_and_not_kept_and_the_next_one_is_read(shop, read, tmp_path):
    shop.robots("Sitemap: /a.xml", "Sitemap: /b.xml")
    shop.pages["/a.xml"] = (200, {"ETag": '"1"', "Content-Length": "9999"}, [f"<urlset {SPACE}><url>".encode()])
    shop.urls("/b.xml", "/1")
    listed, paths = read()
    assert ["/1"] == paths
    assert ["/a.xml: saw no whole answer (RemoteProtocolError), wanted all of it"] == said(listed)
    assert 1 == len(list((tmp_path / "kept").iterdir()))


def test_a_page_before_the_broken_part_of_a_file_is_looked_at_and_the_rest_reported(shop, read):
    shop.pages["/sitemap.xml"] = (200, {}, f"<urlset {SPACE}><url><loc>{shop.url}/1</loc></url><url><loc>&".encode())
    listed, paths = read()
    assert {"/1"} == set(paths)
    [trouble] = said(listed)
    assert trouble.startswith("/sitemap.xml: saw XML that is broken")


def test_a_sitemap_without_pages_is_reported(shop, read):
    shop.robots("Sitemap: /empty.xml", "Sitemap:", "Sitemap: /a.xml")
    shop.urls("/empty.xml")
    shop.urls("/a.xml", "/1")
    listed, paths = read()
    assert (["/1"], []) == (paths, said(listed))
    assert "1 sitemaps that list nothing, such as /empty.xml" == str(listed.left)


@pytest.mark.parametrize(
    ("says", "status", "headers", "body"),
    [
        ("saw 500, wanted 200", 500, {}, b""),
        ("saw 304, wanted 200", 304, {}, b""),
        ("saw the content coding 'br'", 200, {"Content-Encoding": "br"}, b"xxxx"),
        ("saw HTML, wanted a sitemap", 200, {}, b"<html/>"),
        ("saw 3 elements and no address", 200, {}, f"<urlset {SPACE}><url><link/></url></urlset>".encode()),
        ("of another host or scheme", 302, {"Location": "http://169.254.169.254/latest"}, b""),
        ("more than 3 redirects", 302, {"Location": "/sitemap.xml"}, b""),
        ("an index that another index lists", 200, {}, f"<sitemapindex {SPACE}/>".encode()),
    ],
)
def test_a_file_that_can_not_be_read_is_told_in_a_sentence(says, status, headers, body, shop, read):
    shop.index("/index.xml", "/sitemap.xml")
    shop.pages["/sitemap.xml"] = (status, headers, body)
    listed, paths = read(start=["/index.xml"])
    assert [] == paths
    [trouble] = said(listed)
    assert trouble.startswith("/sitemap.xml: ")
    assert says in trouble


CUT = gzip.compress(b"https://shop.test/1\n")[:-9]


@pytest.mark.parametrize(
    ("times", "status", "headers", "body"),
    [
        (2, 503, {}, b""),
        (2, 429, {}, b""),
        (2, 200, {"Content-Length": "9999"}, [f"<urlset {SPACE}><url>".encode()]),
        (2, 200, {"ETag": '"1"'}, [CUT]),
        (2, 200, {"ETag": '"1"'}, [f"<urlset {SPACE}><url>".encode()]),
        (1, 404, {}, b""),
        (1, 302, {"Location": "http://127.0.0.2/"}, b""),
        (1, 200, {}, b"<html/>"),
    ],
    ids=["503", "429", "broken off", "cut off, packed", "cut off", "404", "led away", "no sitemap"],
)
def test_a_file_is_asked_again_when_its_trouble_may_be_over_soon(times, status, headers, body, shop, read):
    shop.urls("/sitemap.xml", "/1", "/1", "/private")
    shop.robots("User-agent: *", "Disallow: /private")
    shop.first("/sitemap.xml", (status, headers, body))
    listed, paths = read()
    assert times == shop.asked.count("/sitemap.xml")
    assert (2 - times, ["/1", "/1"][: 2 * (times - 1)]) == (len(listed.unread), paths)
    assert (2 * (times - 1), times - 1) == (listed.paths, listed.disallowed)


def test_the_paths_of_a_file_that_broke_off_are_counted_once(shop, read):
    shop.urls("/sitemap.xml", "/1", "/2", "http://other.test/")
    whole = shop.pages["/sitemap.xml"][2]
    shop.first("/sitemap.xml", (200, {"Content-Length": "9999"}, [whole[: whole.index(b"</urlset>")]]))
    listed, paths = read()
    assert (2, {"/1", "/2"}, []) == (listed.paths, set(paths), listed.unread)
    assert str(listed.left).startswith("1 of another host")


@pytest.mark.parametrize(("patience", "times"), [(300.0, 4), (0.1, 1)])
def test_a_file_that_stays_away_is_asked_four_times_until_too_much_was_asked_again(
    patience, times, shop, read, monkeypatch
):
    shop.index("/sitemap.xml", *(f"/{number}.xml" for number in range(20)))
    shop.pages.update({f"/{number}.xml": (503, {}, b"") for number in range(20)})
    monkeypatch.setattr(sitemaps, "MAX_FILE_SECONDS", patience)
    listed, _ = read()
    assert (20, times) == (len(listed.unread), shop.asked.count("/19.xml"))


def test_files_beyond_those_that_are_read_are_told(shop, read, monkeypatch):
    monkeypatch.setattr(sitemaps, "MAX_FILES", 3)
    shop.index("/sitemap.xml", "/a.xml", "/b.xml", "/c.xml")
    shop.urls("/a.xml", "/1")
    shop.urls("/b.xml", "/2")
    listed, paths = read()
    assert (["/1", "/2"], ["/sitemap.xml: saw more than 3 files, wanted fewer"]) == (paths, said(listed))


def test_a_kept_file_that_can_not_be_read_is_asked_for_anew(shop, read, tmp_path):
    shop.urls("/sitemap.xml", "/1")
    read()
    [kept] = (tmp_path / "kept").iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    listed, paths = read()
    assert (["/1"], []) == (paths[-1:], listed.unread)


def test_a_redirect_within_the_site_is_followed(shop, read):
    shop.pages["/sitemap.xml"] = (301, {"Location": f"{shop.url}/new.xml"}, b"")
    shop.urls("/new.xml", "/1")
    assert ["/1"] == read()[1]


def test_nothing_is_asked_of_another_host(shop, read):
    with serving() as other:
        other.urls("/sitemap.xml", "/1")
        shop.robots(f"Sitemap: {other.url}/sitemap.xml", "Sitemap: /index.xml")
        shop.index("/index.xml", f"{other.url}/sitemap.xml", "/a.xml", "http://10.0.0.1/a.xml")
        shop.urls("/a.xml", "/1", f"{other.url}/2")
        listed, paths = read()
        assert (["/1"], []) == (paths, other.asked)
        assert f"4 of another host or scheme than {shop.url}" in str(listed.left)


def test_an_index_that_lists_itself_ends(shop, read):
    shop.index("/sitemap.xml", "/sitemap.xml", "/a.xml")
    shop.urls("/a.xml", "/1")
    assert ["/1"] == read()[1]
    assert 1 == shop.asked.count("/sitemap.xml")


def test_two_gigabytes_are_not_read(shop, read, monkeypatch):
    monkeypatch.setattr(sitemaps, "MAX_SITEMAP_BYTES", 2_000_000)
    lines = f"{shop.url}/page\n".encode() * 1000
    shop.pages["/sitemap.xml"] = (200, {}, (lines for _ in range(2_000_000_000 // len(lines))))
    listed, _ = read()
    assert shop.sent < 50_000_000
    [trouble] = said(listed)
    assert "wanted a smaller file" in trouble or "wanted fewer" in trouble


def test_no_further_file_is_begun_once_there_are_enough_paths(shop, read):
    shop.index("/sitemap.xml", "/a.xml", "/b.xml")
    shop.urls("/a.xml", "/1", "/2")
    shop.urls("/b.xml", "/3")
    listed, paths = read(most=2)
    assert ["/1", "/2"] == paths
    assert 1 == listed.enough
    told = "/b.xml: saw 1 files that were not begun, as 2 paths are enough, wanted `most` above what the site lists"
    assert [told] == said(listed)


def test_sitemaps_of_other_hosts_are_told(shop, read):
    shop.robots(
        "Sitemap: http://other.test/a.xml?key=hush", "Sitemap: http://[oops", f"Sitemap: {shop.url}/sitemap.xml"
    )
    shop.pages["/sitemap.xml"] = (
        200,
        {},
        f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>{shop.url}/c.xml</loc></sitemap>'
        "<sitemap><loc>http://other.test/d.xml?key=hush</loc></sitemap></sitemapindex>".encode(),
    )
    shop.urls("/c.xml", "/1")
    listed, paths = read()
    assert ["/1"] == paths
    assert [
        f"{path}: saw {many} or more sitemaps that are not the site's own, such as {other}, wanted sitemaps on the site's own host"
        for path, many, other in (
            ("/robots.txt", 2, "http://other.test/a.xml?..."),
            ("/sitemap.xml", 1, "http://other.test/d.xml?..."),
        )
    ] == said(listed)


@pytest.mark.parametrize("location", ["http://[oops/b.xml", "http://a..b/b.xml", f"http://{'x' * 70}.test/b.xml"])
def test_a_redirect_to_no_address_costs_that_file_only(location, shop, read):
    shop.robots(f"Sitemap: {shop.url}/a.xml", f"Sitemap: {shop.url}/b.xml")
    shop.pages["/a.xml"] = (302, {"Location": location}, b"")
    shop.urls("/b.xml", "/1")
    listed, paths = read()
    assert (["/1"], 1) == (paths, len(listed.unread))


@pytest.mark.parametrize("location", ["http://a..b/robots.txt", "http://xn--/robots.txt"])
def test_robots_that_lead_to_no_address_forbid_all(location, shop, read):
    shop.pages["/robots.txt"] = (301, {"Location": location}, b"")
    with pytest.raises(RobotsError):
        read()


def test_a_coding_may_be_written_in_capitals(shop, read):
    shop.urls("/sitemap.xml", "/1")
    status, headers, body = shop.pages["/sitemap.xml"]
    shop.pages["/sitemap.xml"] = (status, headers | {"Content-Encoding": "X-GZIP"}, gzip.compress(body))
    assert ["/1"] == read()[1]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_when_nobody_knows_what_may_be_asked_nothing_is(status, shop, read):
    shop.pages["/robots.txt"] = (status, {}, b"")
    shop.urls("/sitemap.xml", "/1")
    with pytest.raises(RobotsError, match=f"saw {status}, wanted its rules, or 404"):
        read()
    assert 4 * ["/robots.txt"] == shop.asked


def test_robots_that_come_at_the_second_time_are_kept_to(shop, read):
    shop.first("/robots.txt", (503, {}, b""))
    shop.robots("User-agent: *", "Disallow: /no")
    shop.urls("/sitemap.xml", "/no", "/yes")
    assert ["/yes"] == read()[1]


def test_robots_are_found_after_five_redirects_and_kept_to_also_on_another_host(shop, read):
    with serving() as other:
        for number in range(4):
            shop.pages[f"/{number or 'robots.txt'}"] = (301, {"Location": f"/{number + 1}"}, b"")
        shop.pages["/4"] = (302, {"Location": f"{other.url}/all/robots.txt"}, b"")
        other.pages["/all/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /no")
        shop.urls("/sitemap.xml", "/no", "/yes")
        assert ["/yes"] == read()[1]
        assert ["/all/robots.txt"] == other.asked


@pytest.mark.parametrize(
    ("says", "location"),
    [
        ("saw more than 5 redirects, wanted its rules, or 404 when it has none", "/robots.txt"),
        (
            "saw a redirect to http://169.254.169.254/latest?..., which is no text file",
            "http://169.254.169.254/latest?a=b",
        ),
        ("saw a redirect to file:///etc/robots.txt, which is no text file", "file:///etc/robots.txt"),
        ("saw 302, wanted its rules", None),
    ],
)
def test_robots_that_lead_nowhere_allow_nothing(says, location, shop, read):
    shop.pages["/robots.txt"] = (302, {"Location": location} if location else {}, b"")
    shop.urls("/sitemap.xml", "/1")
    with pytest.raises(RobotsError, match=re.escape(f"{shop.url}/robots.txt: {says}")):
        read()
    assert "/sitemap.xml" not in shop.asked


@pytest.mark.parametrize("path", ["/robots.txt", "/sitemap.xml"])
def test_a_file_that_trickles_is_given_up(path, shop, read, monkeypatch):
    """Each byte comes in time, and the last never."""
    monkeypatch.setattr(sitemaps, "MAX_FILE_SECONDS", 0.3)

    def trickle():
        for _ in range(100):
            time.sleep(0.05)
            yield b"#"

    shop.pages[path] = (200, {}, trickle())
    begun = time.monotonic()
    try:
        told = said(read()[0])[0]
    except RobotsError as error:
        told = str(error)
    assert f"{path}: saw no end after 0.3 s" in told
    assert time.monotonic() - begun < 3


def test_robots_that_were_packed_unasked_count_as_well(shop, read):
    shop.pages["/robots.txt"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"User-agent: *\nDisallow: /no"))
    shop.urls("/sitemap.xml", "/no", "/yes")
    assert ["/yes"] == read()[1]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_robots_that_are_too_long_forbid_what_their_first_lines_forbid(shop, read, packed):
    """Half a line, `Disallow: /`, would forbid everything."""
    lines = b"User-agent: *\nDisallow: /no\n"
    lines += b"#" * (MAX_ROBOTS_BYTES - len(lines) - len(b"\nDisallow: /")) + b"\nDisallow: /private\n" * 9000
    body, headers = (gzip.compress(lines), {"Content-Encoding": "gzip"}) if packed else (lines, {})
    shop.pages["/robots.txt"] = (200, headers, body)
    shop.urls("/sitemap.xml", "/no", "/yes")
    assert ["/yes"] == read()[1]


def test_a_site_that_is_gone_is_told(shop, read):
    shop.server_close()
    shop.shutdown()
    with pytest.raises(RobotsError, match=r"saw no whole answer \(ConnectError\), wanted its rules"):
        read()
