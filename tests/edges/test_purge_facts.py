"""What the four caches do after a purge, as measured: the rows that a proof stands on."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edges.asking import ask, label, purge, told
from tests.edges.table import table


@pytest.fixture
def name(kind, request):
    """The end of a path that no other test asks for."""
    return f"{request.function.__name__}-{kind}"


@pytest.fixture
def page(name):
    return f"/articles/{name}"


def first_words(response):
    """What a cache says of an answer beside its label: of Varnish how many ids, else whether there is an Age."""
    ids = response.headers.get("x-varnish", "").split()
    return f"{label(response)} {'Age' if 'age' in response.headers else '-'}{f' {len(ids)}' if ids else ''}"


@pytest.mark.parametrize(
    ("expected", "row", "kind"),
    table("""
    answer | varnish    | nginx  | traffic_server | squid
    before | HIT Age 2  | HIT -  | HIT Age        | HIT Age
    first  | MISS Age 1 | MISS - | MISS Age       | MISS -
    second | HIT Age 2  | HIT -  | HIT Age        | HIT Age
    """),
)
def test_the_labels_of_a_page_before_and_after_its_purge(edge, page, expected, row):
    """A MISS of Squid has no Age, and nothing of nginx; Varnish tells a hit by its second id."""
    target = f"{page}-{row}"
    ask(edge, target)
    before = ask(edge, target)
    assert purge(edge, target) == 200
    answers = {"before": before, "first": ask(edge, target), "second": ask(edge, target)}
    assert expected == first_words(answers[row])


def test_the_letters_in_via_tell_what_traffic_server_did(traffic_server, request):
    """A pair each: what the look for a copy (c) found, and whether it was filled (f); a purge looks, and fills none."""
    page = f"/articles/{request.function.__name__}"

    def letters(response):
        said = re.search(r"\[(.*)\]", response.headers["via"])[1]
        return re.search("c(.)", said)[1], re.search("f(.)", said)[1]

    seen = [letters(ask(traffic_server, page)) for _ in range(2)]
    gone = letters(ask(traffic_server, page, method="PURGE"))
    seen.append(letters(ask(traffic_server, page)))
    assert (("M", "W"), ("M", "W")) == (seen[0], seen[2]), "nothing found, and written"
    assert seen[1][0] in "HR", "found, on the disk or in memory"
    assert " " == seen[1][1] == gone[1]


@pytest.mark.parametrize(
    ("expected", "row", "kind"),
    table("""
    neighbour  | varnish | nginx | traffic_server | squid
    ?          | stays   | stays | goes           | stays
    ?x=1       | stays   | stays | stays          | stays
    ?x=1&y=2   | stays   | stays | stays          | stays
    ;x=1       | stays   | stays | stays          | stays
    /          | stays   | stays | stays          | stays
    """),
)
def test_what_goes_with_a_page(edge, page, expected, row):
    """Traffic Server has one copy for a path with and without an empty query."""
    target = f"{page}-{len(row)}"
    for one in (target, target + row):
        ask(edge, one)
    purge(edge, target)
    assert expected == {"MISS": "goes", "HIT": "stays"}[label(ask(edge, target + row))]


@pytest.mark.parametrize(
    ("expected", "row", "kind"),
    table("""
    purged for | varnish | nginx | traffic_server | squid
    identity   | 2 2 2   | 2 1 1 | 2 2 2          | 2 1 1
    """),
)
def test_what_a_purge_for_one_coding_leaves(edge, origin, name, expected, row):
    """Two caches purge the variant that is asked for: readers of the others keep the old page."""
    target, codings = f"/encoded/{name}", ("identity", "gzip", "gzip, deflate, br")
    for coding in codings:
        ask(edge, target, extra={"accept-encoding": coding})
    origin.bump(target)
    purge(edge, target, extra={"accept-encoding": row})
    assert expected == " ".join(str(told(ask(edge, target, extra={"accept-encoding": one}))[1]) for one in codings)


@pytest.mark.parametrize(
    ("expected", "row", "kind"),
    table("""
    purges     | varnish | nginx   | traffic_server | squid
    of a race  | 200 200 | 404 200 | 404 200        | 404 200
    """),
)
def test_the_second_purge_finds_what_the_first_one_missed(edge, origin, page, expected, row):
    """A page whose fetch is under way is absent for the first purge, and the old page for the second."""
    with ThreadPoolExecutor() as pool:
        with origin.hold(page):
            flight = pool.submit(ask, edge, page)
            origin.wait_asked(page)
            origin.bump(page)
            first = purge(edge, page)
        flight.result(timeout=30)
    assert expected == f"{first} {purge(edge, page)}"
    assert told(ask(edge, page)) == ("MISS", 2)


@pytest.mark.parametrize(
    ("expected", "row", "kind"),
    table("""
    asked         | varnish  | nginx    | traffic_server | squid
    If-None-Match | 304 HIT  | 304 HIT  | 304 HIT        | 304 MISS
    """),
)
def test_who_asks_with_a_validator_after_a_purge(edge, page, expected, row):
    """Squid does not keep what it only validated."""
    etag = ask(edge, page).headers["etag"]
    purge(edge, page)
    status = ask(edge, page, extra={row.lower(): etag}).status_code
    assert expected == f"{status} {label(ask(edge, page))}"


@pytest.mark.parametrize(
    ("expected", "row", "kind"),
    table("""
    readers | varnish | nginx | traffic_server | squid
    6       | 1       | 1     | several        | several
    """),
)
def test_readers_who_come_together_after_a_purge(edge, origin, page, expected, row):
    """Two caches fetch once for all of them; all of them get the new page."""
    ask(edge, page)
    origin.bump(page)
    purge(edge, page)
    before = len(origin.asked(page))
    with ThreadPoolExecutor(6) as pool:
        with origin.hold(page):
            readers = [pool.submit(ask, edge, page) for _ in range(int(row))]
            origin.wait_asked(page, before + (1 if expected == "1" else 2))
        found = [told(reader.result(timeout=30))[1] for reader in readers]
    fetched = len(origin.asked(page)) - before
    assert [2] * 6 == found
    assert expected == ("1" if fetched == 1 else "several")


def test_the_variant_that_was_stored_first_hides_the_others_in_nginx(nginx, origin):
    """Purged first, it makes the others absent for a purge, while they are old copies for their readers."""
    target, languages = "/language/hides-nginx", ("en", "de", "fr")
    for language in languages:
        ask(nginx, target, extra={"accept-language": language})
    origin.bump(target)
    purges = [purge(nginx, target, extra={"accept-language": language}) for language in languages]
    seen = [told(ask(nginx, target, extra={"accept-language": language}))[1] for language in languages]
    assert ([200, 404, 404], [2, 1, 1]) == (purges, seen)
