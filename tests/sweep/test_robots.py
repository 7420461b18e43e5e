"""What robots.txt lets us ask for, by the words and the examples of RFC 9309."""

from unittest.mock import MagicMock

import pytest

from roundsman.sweep.rules import robots
from roundsman.sweep.rules.robots import NOTHING, Robots, RobotsLine, allowed, robots_of


def allows(lines, path, product="roundsman"):
    return Robots.of("\n".join(lines).encode(), product).allows(path)


@pytest.mark.parametrize(
    ("wanted", "lines", "path"),
    [
        (True, [], "/a"),
        (False, ["User-agent: *", "Disallow: /a"], "/a"),
        (False, ["User-agent: *", "Disallow: /a"], "/abc?d"),
        (True, ["User-agent: *", "Disallow: /a"], "/b/a"),
        (True, ["User-agent: *", "Disallow:"], "/a"),
        (True, ["User-agent: *", "Disallow: /"], "/robots.txt"),
        (
            True,
            ["User-agent: *", "Disallow: /example/page/", "Allow: /example/page/disallowed.gif"],
            "/example/page/disallowed.gif",
        ),
        (True, ["User-agent: *", "Disallow: /a", "Allow: /a"], "/a"),
        (False, ["User-agent: *", "Disallow: /ü/x", "Allow: /%C3%BC/"], "/ü/x1"),
        (False, ["User-agent: *", "Disallow: /aaaaa", "Allow: /%61%61"], "/aaaaa"),
        (False, ["User-agent: *", "Disallow: /foo-%24"], "/foo-$"),
        (False, ["User-agent: *", "Disallow: /a-%2A.html"], "/a-*.html"),
        (False, ["User-agent: *", "Disallow: /a-*.html"], "/a-*.html"),
        (True, ["User-agent: *", "Disallow: /a-%2A.html"], "/a-b.html"),
        (False, ["User-agent: *", "Allow: /", "Disallow: /*.gif$"], "/x/y.gif"),
        (True, ["User-agent: *", "Disallow: /*.gif$"], "/x/y.gif?z"),
        (False, ["User-agent: *", "Disallow: /this/*/exactly"], "/this/and/that/exactly?now"),
        (True, ["User-agent: *", "Disallow: /this/*/exactly"], "/this/exactly"),
        (False, ["User-agent: *", "Disallow: /a$"], "/a"),
        (True, ["User-agent: *", "Disallow: /a$"], "/ab"),
        (False, ["User-agent: *", "Disallow: /a%3cd.html"], "/a%3Cd.html"),
        (False, ["User-agent: *", "Disallow: /%62ook"], "/book"),
        (False, ["User-agent: *", "Disallow: /ツ"], "/%E3%83%84"),
        (True, ["User-agent: *", "Disallow: /a/b"], "/a%2Fb"),
        (False, ["user-agent:*", "DISALLOW:/a # not there"], "/a"),
        (True, ["Disallow: /a"], "/a"),
        (False, ["User-agent: *", "nonsense", "Sitemap: x", "Disallow: /a"], "/a"),
        (True, ["User-agent: *", "Disallow: /a", "User-agent: roundsman", "Disallow: /b"], "/a"),
        (False, ["User-agent: *", "Disallow: /a", "User-agent: Roundsman/2.0", "Disallow: /b"], "/b"),
        (False, ["User-agent: other", "User-agent: roundsman", "Disallow: /b"], "/b"),
        (False, ["User-agent: roundsman", "Disallow: /a", "User-agent: roundsman", "Disallow: /b"], "/a"),
        (True, ["User-agent: roundsmanx", "Disallow: /"], "/a"),
        (False, ["\ufeffUser-agent: *", "Disallow: /a"], "/a"),
        # A star names everybody only alone or before white space.
        (True, ["User-agent: *", "Disallow: /x", "User-agent: *SiteBot*", "Disallow: /"], "/"),
        (False, ["User-agent: *SiteBot", "Disallow: /y", "User-agent: * all of you", "Disallow: /"], "/"),
        (True, ["User-agent: Sitebot*", "Disallow: /"], "/"),
        # Misspelt keys, and lines without a colon, as Google reads them.
        (False, ["User Agent: *", "disallow: /cart"], "/cart"),
        (False, ["useragent: *", "disallow /cart"], "/cart"),
        (False, ["user-agent roundsman", "disallow\t/cart"], "/cart"),
        (False, ["User-agent: *", "Dissallow: /cart"], "/cart"),
        (False, ["User-agent: *", "Disalow: /cart"], "/cart"),
        (True, ["User-agent: *", "disallow /cart or /basket"], "/cart"),
        (True, ["foo: *", "bar: /"], "/cart"),
        (False, ["User-agent: *", "Dissalow: /cart"], "/cart"),
        (False, ["User-agent: *", "Diasllow: /cart"], "/cart"),
        (False, ["User-agent: *", "Disallaw: /cart"], "/cart"),
        (False, ["User-agent: *", "Disallow-all: /cart"], "/cart"),
        (True, ["XUser-agent: *", "Disallow: /cart"], "/cart"),
        # An index page that is allowed stands for its directory, and only an allowed one.
        (True, ["User-agent: *", "Allow: /shop/index.html", "Disallow: /"], "/shop/"),
        (True, ["User-agent: *", "Allow: /shop/index.html", "Disallow: /"], "/shop/index.html"),
        (False, ["User-agent: *", "Allow: /shop/index.html", "Disallow: /"], "/shop/index.htm"),
        (False, ["User-agent: *", "Allow: /shop/index.html", "Disallow: /"], "/shop/x"),
        (True, ["User-agent: *", "Disallow: /shop/index.html"], "/shop/"),
        # Google's documentation: the longer pattern decides, its signs counted.
        (False, ["User-agent: *", "Allow: /page", "Disallow: /*.htm"], "/page.htm"),
        (True, ["User-agent: *", "Allow: /$", "Disallow: /"], "/"),
        (False, ["User-agent: *", "Allow: /$", "Disallow: /"], "/page"),
        (True, ["User-agent: *", "Disallow: /", "Allow: /fish*.php"], "/fishheads/catfish.php?parameters"),
        (False, ["User-agent: *", "Disallow: /", "Allow: /fish*.php"], "/Fish.PHP"),
        (True, ["User-agent: *", "Disallow: /", "Allow: /*.php$"], "/folder/filename.php"),
        (False, ["User-agent: *", "Disallow: /", "Allow: /*.php$"], "/filename.php?parameters"),
        (False, ["User-agent: *", "Disallow: */b"], "/b"),
        (False, ["User-agent: *", "Disallow: /a*b*c$"], "/a-b-b-c-c"),
        (True, ["User-agent: *", "Disallow: /ab*b$"], "/ab"),
        (True, ["User-agent: *", "Disallow: /a*bc*c$"], "/abc"),
    ],
)
def test_the_most_specific_line_of_our_own_group_decides(wanted, lines, path):
    assert wanted is allows(lines, path)


READ, EVERYTHING_ALLOWED, NOTHING_ALLOWED = (True, False), (True, True), (False, False)


@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [
        ([200, 299], READ),
        ([400, 401, 404, 428, 430, 499], EVERYTHING_ALLOWED),
        ([0, 199, 300, 301, 399, 429, 500, 503], NOTHING_ALLOWED),
    ],
)
def test_the_status_says_whether_the_rules_are_read(statuses, wanted):
    for status in statuses:
        found = robots_of(status, b"User-agent: *\nDisallow: /no")
        assert wanted == (found.allows("/yes"), found.allows("/no")), status


def test_an_answer_with_rules_is_read_and_names_its_sitemaps_once():
    body = b"Site-map: https://x/a.xml\r\nSite-map: https://x/c.xml\r\nUser-agent: *\rDisallow: /no\nsitemap: https://x/a.xml\nSITEMAP:https://x/b.xml"
    robots = robots_of(200, b"Sitemap:\nSitemap: # none\n" + body)
    assert (["/yes"], 1) == allowed(robots, ["/yes", "/no/1"])
    assert ("https://x/a.xml", "https://x/c.xml", "https://x/b.xml") == robots.sitemaps
    assert (["/yes"], 0) == allowed(Robots(), ["/yes"])


def test_bytes_that_are_no_utf_8_spoil_no_other_line():
    assert (["/b"], 1) == allowed(Robots.of(b"User-agent: *\nDisallow: /caf\xe9\nDisallow: /a"), ["/a", "/b"])


def test_our_own_group_is_that_of_our_name():
    assert (["/b"], 1) == allowed(robots_of(200, b"User-agent: roundsman\nDisallow: /a"), ["/a", "/b"])


@pytest.mark.parametrize(("size", "seen"), [(512_000, True), (512_001, False)])
def test_half_a_megabyte_is_read(size, seen):
    body = b"User-agent: *\nDisallow: /a\n#" + b"\nDisallow: /b".rjust(size - 28, b"#")
    assert size == len(body)
    found = robots_of(200, body)
    assert (False, not seen) == (found.allows("/a"), found.allows("/b"))


def test_nothing_is_allowed_when_nobody_knows():
    assert not NOTHING.allows("/")


@pytest.mark.parametrize("end", ["b", "b$", "a$", "*", "*$"])
@pytest.mark.parametrize("middle", ["a*", "*a", "aa*", "-*"])
def test_the_steps_to_match_a_line_of_many_stars_are_at_most_its_parts(middle, end):
    """A search goes on where the last one ended, so that the path is read once."""
    [line] = Robots.of(f"User-agent: *\nDisallow: /{middle * 2000}{end}".encode()).lines
    text, starts = "/" + "a-" * 5000, []
    path = MagicMock(wraps=text)
    path.__len__.return_value = len(text)
    path.find = lambda part, start: starts.append(start) or text.find(part, start)
    line.matches(path)
    assert len(starts) <= len(line.parts)
    assert starts == sorted(starts)


def test_lines_that_begin_otherwise_are_not_looked_at(monkeypatch):
    """Some sites have twenty thousand lines; each path is held against those that begin as it does."""
    lines = [f"Disallow: /catalogue/{number}/" for number in range(20_000)]
    found = Robots.of("\n".join(["User-agent: *", *lines]).encode())
    tried = []
    monkeypatch.setattr(RobotsLine, "matches", lambda line, _: tried.append(line) or True)
    assert not found.allows("/catalogue/17/page")
    assert ["/catalogue/17/"] == [line.parts[0] for line in tried]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("most", range(30, 46))
def test_a_huge_file_is_read_by_whole_lines(monkeypatch, most, end):
    """A line that was cut would forbid everything."""
    monkeypatch.setattr(robots, "MAX_ROBOTS_BYTES", most)
    found = Robots.of(f"User-agent: *{end}{f'Disallow: /x{end}' * 9}".encode())
    assert found.allows("/")
    assert not found.allows("/x")
    first, each = 13 + len(end), 12 + len(end)
    assert (most + 1 - first) // each <= len(found.lines) <= (most + len(end) - first) // each
