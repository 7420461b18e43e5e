"""Paths that are written in more than one way: which are the same, and which are not."""

import pytest

from roundsman.site.rules.url_spelling import spelled
from tests.make import site


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/articles/tomatoes", "/articles/tomatoes"),
        ("/b%C3%BCcher/x", "/bücher/x"),
        ("/b%C3%BCcher/x", "/b%c3%bccher/x"),
        ("/b%C3%BCcher/x", "/b%C3%BCcher/x"),
        ("/~ada/%C3%BC", "/%7Eada/ü"),
        ("/a%20b%7C%22", "/a b|%22"),
        ("/%E3%83%84?q=%E3%83%84", "/ツ?q=%e3%83%84"),
        # These are delimiters, and mean something else when they are not encoded.
        ("/a%2Fb%3Fc", "/a%2fb%3fc"),
        ("/a+b,c;d=e%2B%2C%3B%3D", "/a+b,c;d=e%2b%2c%3b%3d"),
        ("/%2A*", "/%2a*"),
        ("/%2541", "/%2541"),
        # What is half encoded is not guessed at.
        ("/100%", "/100%"),
        ("/%zz%4%C3", "/%zz%4%c3"),
        ("/%ED%A0%80", "/\ud800"),
    ],
)
def test_all_ways_to_write_a_path_have_one_spelling(wanted, path):
    assert wanted == spelled(path)
    assert wanted == spelled(wanted)


def test_only_what_is_unreserved_is_decoded():
    """Of all 256 octets; and both ways to hexadecimals are one."""
    plain = {spelled(f"%{octet:02x}") for octet in range(256)}
    assert plain == {spelled(f"%{octet:02X}") for octet in range(256)}
    assert set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == {
        one for one in plain if len(one) == 1
    }
    assert 256 == len(plain)


@pytest.mark.parametrize(
    ("holds", "pattern", "path"),
    [
        (True, "/bücher/**", "/b%C3%BCcher/x"),
        (True, "/b%C3%BCcher/**", "/bücher/x"),
        (True, "/b%c3%bccher/**", "/b%C3%BCcher/x?q=ü"),
        (True, "/~ada/**", "/%7Eada/x"),
        (True, "/%7eada/**", "/~ada/x"),
        (True, "/a/*", "/a/%C3%BC"),
        (True, "/a/ü*", "/a/%C3%BCber"),
        (True, "/a/*", "/a/b%2fc"),
        (True, "/a%2fb", "/a%2Fb"),
        (False, "/a/b", "/a%2Fb"),
        (False, "/a/*", "/a/ü/b"),
        (False, "/a/%2A", "/a/b"),
        (False, "/bücher/**", "/bu%CC%88cher/x"),
        (False, "/bücher/**", "/b%FCcher/x"),
        (False, "/a", "/A"),
    ],
)
def test_a_rule_speaks_of_a_path_however_it_is_spelled(holds, pattern, path):
    assert holds is site({"paths": [pattern]}).rules[0].matches(path)
