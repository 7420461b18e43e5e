"""Sitemaps, also those that were made to hurt: what is read of them, and the sentence with which one is refused."""

import gzip
import re
from collections import deque

import pytest

from roundsman.sweep.rules import sitemap
from roundsman.sweep.rules.sitemap import (
    MAX_URL_CHARACTERS,
    MAX_URLS,
    Left,
    Reader,
    SitemapError,
    SitemapKind,
    chosen,
    own_paths,
    robots_at,
)

SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
BASE = "https://shop.test"


def urlset(*inner, space=SPACE):
    return f'<?xml version="1.0"?><urlset {space}>{"".join(inner)}</urlset>'.encode()


def url(address, more=""):
    return f"<url>{more}<loc>{address}</loc></url>"


def read(body, size=7):
    """A file that comes in small pieces."""
    reader = Reader()
    found = [one for start in range(0, len(body), size) for one in reader.feed(body[start : start + size])]
    return reader.kind, found + reader.close()


ALTERNATE = '<x:link xmlns:x="http://www.w3.org/1999/xhtml" rel="alternate" hreflang="de" href="https://shop.test/de"/>'
IMAGE = '<i:image xmlns:i="http://www.google.com/schemas/sitemap-image/1.1"><i:loc>https://shop.test/i.png</i:loc></i:image>'


RSS = b"""<?xml version="1.0"?><rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>
<title>News</title><link>https://shop.test/</link><atom:link href="https://shop.test/feed" rel="self"/>
<item><title>A</title><link> https://shop.test/a </link><guid>1</guid></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><link href="https://shop.test/"/><entry><title>A</title>
<link rel="edit" href="https://shop.test/edit"/><link href="https://shop.test/a"/></entry></feed>"""
RSS_1 = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
<channel rdf:about="x"><link>https://shop.test/</link></channel>
<item rdf:about="x"><link>https://shop.test/a</link></item></rdf:RDF>"""


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        ([], urlset()),
        (
            ["https://shop.test/a", "https://shop.test/b"],
            urlset(url("https://shop.test/a"), url("https://shop.test/b")),
        ),
        (["https://shop.test/a?b=1&c=2"], urlset(url("https://shop.test/a?b=1&amp;c=2"))),
        (["https://shop.test/a"], urlset(url("\n  https://shop.test/a\n"))),
        (["https://shop.test/a"], urlset(url("<![CDATA[https://shop.test/a]]>"))),
        (["https://shop.test/a"], urlset(url("https://shop.test/a", ALTERNATE + IMAGE))),
        (["https://shop.test/a"], urlset(url("https://shop.test/a"), space="")),
        (["https://shop.test/a"], b"\xef\xbb\xbf" + urlset(url("https://shop.test/a"))),
        (["https://shop.test/ü"], urlset(url("https://shop.test/ü"))),
        (["https://shop.test/a"], urlset(url("https://shop.test/a")).decode().encode("utf-16")),
        (
            ["https://shop.test/ü"],
            urlset(url("https://shop.test/ü")).decode().replace("?>", ' encoding="iso-8859-1"?>', 1).encode("latin-1"),
        ),
        (["https://shop.test/a", "https://shop.test/b"], b"https://shop.test/a\r\n\r\nhttps://shop.test/b"),
        (["https://shop.test/a"], urlset("<url><loc/></url>", url("https://shop.test/a"))),
        # Mistakes that real sites make.
        (["https://shop.test/a"], urlset(urlset(url("https://shop.test/a")).partition(b"?>")[2].decode())),
        (
            ["https://shop.test/a", "https://shop.test/b"],
            urlset("<url>https://shop.test/a<lastmod>2026-01-01</lastmod></url>", url("https://shop.test/b")),
        ),
        # Feeds, which the protocol allows.
        (["https://shop.test/a"], RSS),
        (["https://shop.test/a"], ATOM),
        (["https://shop.test/a"], RSS_1),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_addresses_of_a_file_and_nothing_else(wanted, body, packed):
    assert (SitemapKind.URLS, wanted) == read(gzip.compress(body) if packed else body)


PACKED = [gzip.compress(part, mtime=0) for part in (b"", b"https://shop.test/a\nhttps://sh", b"op.test/b\n")]


@pytest.mark.parametrize("between", [b"", b"\0\0\0"])
@pytest.mark.parametrize("after", [b"", b"\0\0\0", b"\n", b"\n\x1f\x8b"])
@pytest.mark.parametrize("size", [1, 2, 7, 4096])
def test_what_was_packed_in_parts_is_read_to_its_end(between, after, size):
    """As `cat 1.gz 2.gz` makes it; padding, or what is no gzip, may follow."""
    assert (SitemapKind.URLS, ["https://shop.test/a", "https://shop.test/b"]) == read(
        between.join(PACKED) + after, size
    )


def test_an_index_says_that_it_lists_sitemaps():
    body = f"<sitemapindex {SPACE}><sitemap><loc>https://shop.test/1.xml.gz</loc></sitemap></sitemapindex>"
    assert (SitemapKind.SITEMAPS, ["https://shop.test/1.xml.gz"]) == read(body.encode())
    assert (SitemapKind.SITEMAPS, ["https://shop.test/1.xml.gz"]) == read(re.sub("</?loc>", "", body).encode())


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("says", "body"),
    [
        ("empty", b""),
        ("empty", gzip.compress(b"", mtime=0)),
        ("DOCTYPE", BOMB.encode() + urlset(url("&b;"))),
        ("DOCTYPE", OUTSIDE.encode() + urlset(url("&a;"))),
        ("saw HTML, wanted a sitemap", b"\n<!DOCTYPE html><html><body>Not found</body></html>"),
        ("saw HTML, wanted a sitemap", b"<html><body>Not found<br></body></html>"),
        ("saw HTML, wanted a sitemap", b'<!-- a --><!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN"><HTML>'),
        ("saw HTML, wanted a sitemap", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>'),
        ("saw <opml>, wanted <urlset>", b"<opml/>"),
        ("2 elements and no address", b"<rss><channel/></rss>"),
        ("3 elements and no address", urlset("<url><lastmod>2026-01-01</lastmod></url>")),
        ("4 elements and no address", urlset(url(""), "<url/>")),
        ("within each other", urlset("<a>" * 20)),
        ("within each other", urlset("<urlset>" * 20)),
        ("broken in line 1", urlset(url("https://shop.test/a"))[:-3]),
        ("broken in line", urlset(url("https://shop.test/a&b"))),
        ("broken in line", urlset(url("https://shop.test/\x00"))),
        ("encoding", urlset().replace(b"?>", b' encoding="x-nobody-knows"?>')),
        ("broken in line", urlset(url("https://shop.test/ü")).decode().encode("latin-1")),
        ("letters, wanted an address", urlset(url("https://shop.test/" + "a" * 9000))),
        ("cut off", gzip.compress(urlset(url("https://shop.test/a")), mtime=0)[:-12]),
        ("cut off", b"".join(PACKED)[:-12]),
        ("cut off", PACKED[1] + PACKED[2][:1]),
        ("broken, wanted gzip", b"\x1f\x8b\x08" + b"x" * 100),
        ("broken, wanted gzip", PACKED[1] + b"\x1f\x8b\x08" + b"x" * 100),
        ("wanted XML, or an address on each line", b"Not found"),
        ("wanted XML, or an address on each line", b"\xff\xd8\xff\xe0 a picture\n"),
        ("a line of more than", b"https://shop.test/" + b"a" * 9000),
        (f"more than {MAX_URLS:,} addresses", b"https://shop.test/a\n" * (MAX_URLS + 1)),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_sentence(says, body):
    with pytest.raises(SitemapError, match=says):
        read(body, size=4096)


@pytest.mark.parametrize(
    "body",
    [
        b"https://shop.test/a\nNot found\n",
        b"https://shop.test/a\n\xff\xd8\n",
        urlset(url("https://shop.test/a"), url("https://shop.test/b & c")),
        urlset(url("https://shop.test/a"), url("https://shop.test/" + "a" * 9000)),
    ],
)
@pytest.mark.parametrize("size", [7, 65_536])
def test_what_was_read_before_the_trouble_may_be_used(body, size):
    reader, found = Reader(), []
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    with pytest.raises(SitemapError) as caught:
        found.extend(one for piece in pieces for one in reader.feed(piece))
    assert ["https://shop.test/a"] == found + caught.value.found


@pytest.mark.parametrize("parts", [1, 64])
def test_a_packed_bomb_is_noticed_and_not_unpacked(monkeypatch, parts):
    """A thousand bytes are packed as one."""
    monkeypatch.setattr(sitemap, "MAX_SITEMAP_BYTES", 2**20)
    blank = [gzip.compress(b" " * (2**23 // parts), mtime=0)] * parts
    packed = b"".join([gzip.compress(urlset()[:-9], mtime=0), *blank])
    reader, pieces = Reader(), iter(range(0, len(packed), 1000))
    with pytest.raises(SitemapError, match="more than 1,048,576 bytes"):
        deque((reader.feed(packed[start : start + 1000]) for start in pieces), maxlen=0)
    assert reader._size <= 2**20 + 1
    assert next(pieces), "the rest was not even looked at"


@pytest.mark.parametrize(
    ("wanted", "address"),
    [
        ("/a", f"{BASE}/a"),
        ("/", BASE),
        ("/", f"{BASE}/"),
        ("/?q=1", f"{BASE}?q=1"),
        ("/a", "https://SHOP.test/a"),
        ("/a", "https://shop.test:443/a"),
        ("/a", f"{BASE}/a#part"),
        ("/ü", f"{BASE}/ü"),
        ("of another host or scheme", "https://shop.test.evil.test/a"),
        ("of another host or scheme", "http://shop.test/a"),
        ("of another host or scheme", "https://shop.test:8443/a"),
        ("of another host or scheme", "https://169.254.169.254/latest/meta-data"),
        ("of another host or scheme", "https://[::1]/a"),
        ("with a user name", "https://shop.test:pass@evil.test/a"),
        ("with a user name", "https://me@shop.test/a"),
        ("no addresses of http", "ftp://shop.test/a"),
        ("no addresses of http", "javascript:alert(1)"),
        ("no addresses of http", "/a"),
        ("no addresses", "https://shop.test:no/a"),
        ("with spaces or control", f"{BASE}/a b"),
        ("with spaces or control", f"{BASE}/a\x01"),
        ("longer than", f"{BASE}/{'a' * MAX_URL_CHARACTERS}"),
    ],
)
def test_only_the_sites_own_addresses_are_asked_and_the_others_are_counted(wanted, address):
    left = Left()
    found = own_paths(BASE, [address], left)
    assert ([wanted], "") == (found, str(left)) if wanted.startswith("/") else not found
    assert wanted.startswith("/") or wanted in str(left)


def test_what_is_left_aside_is_told_with_a_count_and_an_example_and_no_password():
    left = Left()
    own_paths(BASE, ["https://a.test/1", "https://a.test/2", "https://me:secret@shop.test/"], left)
    assert f"2 of another host or scheme than {BASE}, such as https://a.test/1; 1 with a user name" in str(left)
    assert "secret" not in str(left)


def test_a_sample_is_always_the_same_and_about_as_large_as_was_asked_for():
    paths = [f"/articles/{number}" for number in range(10_000)]
    tenth = chosen(paths, 0.1)
    assert 900 < len(tenth) < 1100
    assert tenth == chosen(paths, 0.1)
    assert set(tenth) >= set(chosen(paths[::2], 0.1)), "what else is listed does not matter"
    assert paths == chosen(paths, 1)
    assert [] == chosen(paths, 0)


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        (f"{BASE}/de/robots", "/de/robots"),
        (f"{BASE}/robots?v=2", "?v=2"),
        ("http://shop.test/robots.txt", "http://shop.test/robots.txt"),
        ("https://www.shop.test/shop/robots-de.txt", "//www.shop.test/shop/robots-de.txt"),
        ("", "https://www.shop.test/"),
        ("", "https://www.shop.test/robots.txt?next=/delete"),
        ("", "http://169.254.169.254/latest/meta-data"),
        ("", "https://me:pass@www.shop.test/robots.txt"),
        ("", "ftp://shop.test/robots.txt"),
        ("", "http:///robots.txt"),
        ("", "https://shop.test:no/robots.txt"),
        ("", "https://[::1/robots.txt"),
        ("", "https://www.shop.test/a b/robots.txt"),
        ("", f"https://www.shop.test/{'a' * MAX_URL_CHARACTERS}.txt"),
    ],
)
def test_robots_may_stand_on_another_host_as_a_text_file(wanted, location):
    assert wanted == robots_at(BASE, f"{BASE}/robots", location)
