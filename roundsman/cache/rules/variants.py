"""Variants of a page: its content codings, what it varies on, its validator, and HEAD beside GET.

Costs one request for each promised coding, one conditional request, and one HEAD.
"""

import re
from collections.abc import Iterator, Sequence

from roundsman.http.copies import Extra, ProbeStep, observed, silence
from roundsman.http.freshness import directives, lifetime
from roundsman.report.rules.exchange import UNPACKED, Exchange, Probe
from roundsman.report.rules.verdict import Claim, Finding, Outcome
from roundsman.site.rules.promises import Encoding, Rule
from roundsman.site.rules.site import Site

ENCODING = Claim(
    "cache-headers/encoding", "Who can read a coding gets the same page, in it or plain.", "RFC 9110 section 12.5.3"
)
COMPRESSED = Claim(
    "cache-headers/compressed", "A promised coding is used.", "RFC 9110 section 8.4", breach=Outcome.WARN
)
VARY = Claim(
    "cache-headers/vary-sane",
    "What a page varies on lets a cache reuse it.",
    "RFC 9111 section 4.1",
    breach=Outcome.WARN,
)
VARY_ANY = Claim("cache-headers/vary-any", "A page to be kept does not vary on everything.", "RFC 9111 section 4.1")
VALIDATOR = Claim(
    "cache-headers/validator",
    "A browser can ask whether its copy is still good.",
    "RFC 9110 section 13",
    breach=Outcome.WARN,
)
REFRESHES = Claim(
    "cache-headers/not-modified",
    "A 304 repeats the headers that rule the copy.",
    "https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5",
    breach=Outcome.WARN,
)
TAGS = Claim(
    "cache-headers/etag-by-encoding",
    "Two codings of a page do not share a strong ETag.",
    "RFC 9110 section 8.8.3.3",
    breach=Outcome.WARN,
)
HEAD = Claim("cache-headers/head", "HEAD says what GET says.", "RFC 9110 section 9.3.2", breach=Outcome.WARN)

CONDITIONAL, HEADED = "conditional", "head"
#: Request headers that have so many values that hardly any copy is ever used twice.
MANY = ("cookie", "user-agent", "origin", "accept-language", "referer", "authorization")
#: Bytes from which on edges compress; CloudFront's minimum is the highest.
COMPRESSIBLE_BYTES = 1000
#: Headers that HEAD should repeat, and those of them that a server may leave out.
REPEATED = ("cache-control", "content-type", "vary", "etag", "last-modified", "content-encoding", "content-length")
#: What a 304 has to repeat (RFC 9110 section 15.4.5).
_RULING = ("cache-control", "content-location", "etag", "expires", "vary")
#: Seconds by which two lifetimes may differ that end at one time.
_NEAR_SECONDS = 60
#: Directives that say whether a copy may be used at all.
_DECISIVE = frozenset({"no-cache", "no-store", "private"})
_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OPTIONAL = frozenset({"vary", "etag", "last-modified", "content-encoding", "content-length"})


def steps(site: Site, rule: Rule, path: str, last: Exchange) -> Iterator[ProbeStep]:
    """HEAD, a conditional request with the validator of the last visit, and each promised coding."""
    url = site.url(path)
    yield ProbeStep(path, HEADED, Probe(url, method="HEAD"))
    if rule.status == 200 and (condition := _condition(last)):
        yield ProbeStep(path, CONDITIONAL, Probe(url, headers=(condition,)))
    for coding in rule.cache.encodings:
        yield ProbeStep(path, coding.value, Probe(url, accept_encoding=coding.value))


def findings(rule: Rule, seen: Sequence[Exchange], extra: Extra) -> Iterator[Finding]:
    """All about variants of one route; `seen` are its plain visits."""
    answers = {coding: extra[coding.value][0] for coding in rule.cache.encodings if extra.get(coding.value)}
    whole = [exchange for exchange in answers.values() if exchange.answered]
    yield from vary_findings(rule, seen, whole)
    for coding, exchange in answers.items():
        yield from _coding(coding, exchange, seen[-1])
    if len(whole) > 1:
        yield _tags(whole)
    if extra:
        if rule.status == 200:
            yield _validator(seen[-1], extra.get(CONDITIONAL, ()))
            yield from _refreshes(seen[-1], extra.get(CONDITIONAL, ()))
        for head in extra.get(HEADED, ()):
            yield _head(head, seen[-1])


def _coding(coding: Encoding, exchange: Exchange, plain: Exchange) -> Iterator[Finding]:
    used = exchange.header("content-encoding").lower() or Encoding.IDENTITY.value
    wanted = f"{coding} or no coding, with the same content"
    if exchange.detail.startswith(UNPACKED):
        yield ENCODING.against(f"asked for {coding}: {exchange.detail}", wanted, holds=False, evidence=[exchange])
    elif why := silence([exchange]):
        yield ENCODING.against(f"asked for {coding}: {why}", wanted, holds=None, evidence=[exchange])
    elif used not in {coding, Encoding.IDENTITY}:
        yield ENCODING.against(f"asked for {coding}, got {used}", wanted, holds=False, evidence=[exchange])
    else:
        same = exchange.body_hash == plain.body_hash and exchange.status == plain.status
        content = "the same content" if same else f"other content than in gzip ({observed([exchange])})"
        saw = f"asked for {coding}, got {used} with {content}"
        yield ENCODING.against(saw, wanted, holds=same, evidence=[plain, exchange])
        if coding is not Encoding.IDENTITY and exchange.size >= COMPRESSIBLE_BYTES:
            yield COMPRESSED.against(
                f"{used}, {exchange.wire_size} bytes for {exchange.size}",
                coding,
                holds=used == coding,
                evidence=[exchange],
            )


def vary_findings(rule: Rule, seen: Sequence[Exchange], whole: Sequence[Exchange] = ()) -> Iterator[Finding]:
    """What the pages vary on; `whole` are answers in other codings."""
    answers = [*seen, *whole]
    fields = [_fields(exchange) for exchange in answers]
    anything = [exchange for exchange, names in zip(answers, fields, strict=True) if "*" in names]
    if anything:
        yield VARY_ANY.against("Vary: *", "a list of request headers", holds=False, evidence=anything[:1])
        return
    problems: dict[str, Exchange] = {}
    if rule.cache.vary is None:
        problems |= {
            f"Vary: {name}": exchange
            for exchange, names in zip(answers, fields, strict=True)
            for name in sorted(names)
            if name in MANY
        }
    for exchange, names in zip(answers, fields, strict=True):
        if exchange.header("content-encoding") and "accept-encoding" not in names:
            problems[f"{exchange.header('content-encoding')} without Vary: Accept-Encoding"] = exchange
    different = {", ".join(sorted(_fields(exchange) - {"accept-encoding"})) or "nothing" for exchange in answers}
    if len(different) > 1:
        problems[f"Vary differs: {' against '.join(sorted(different))}"] = answers[-1]
    saw = "; ".join(problems) or ", ".join(sorted(fields[0])) or "no Vary"
    evidence = list(problems.values()) or answers[:1]
    yield VARY.against(saw, "a Vary with few values, the same in each coding", holds=not problems, evidence=evidence)


def _validator(last: Exchange, conditional: Sequence[Exchange]) -> Finding:
    wanted = "an ETag or Last-Modified, and 304 for who has it"
    condition = _condition(last)
    if not condition:
        return VALIDATOR.against("no ETag and no Last-Modified", wanted, holds=False, evidence=[last])
    if why := silence(conditional):
        return VALIDATOR.against(why, wanted, holds=None, evidence=conditional)
    answer = conditional[0]
    tag, other_tag = last.header("etag").removeprefix("W/"), answer.header("etag").removeprefix("W/")
    saw, holds = f"{answer.status} to {condition[0]}", answer.status == 304
    if tag and other_tag and tag != other_tag:
        saw, holds = f"{saw}, with another ETag", False
    return VALIDATOR.against(saw, wanted, holds=holds, evidence=[last, answer])


def _refreshes(last: Exchange, conditional: Sequence[Exchange]) -> Iterator[Finding]:
    """Whether a 304 has what the 200 had: a cache that lacks it, or gets another one, goes by that from then on."""
    if not conditional or conditional[0].status != 304:
        return
    answer = conditional[0]
    missing = [name for name in _RULING if last.header(name) and not answer.header(name)]
    # Servers that compress add this one to what has a body, and every cache knows it.
    if last.header("vary").strip().lower() == "accept-encoding":
        missing = [name for name in missing if name != "vary"]
    saw = f"304 without {', '.join(missing)}" if missing else "304 with all of them"
    if not missing and _rules_otherwise(last, answer):
        before, after = last.header("cache-control"), answer.header("cache-control")
        missing, saw = ["cache-control"], f"304 with {after}, where the 200 has {before}"
    wanted = "each of Cache-Control, Content-Location, ETag, Expires and Vary that the 200 has"
    yield REFRESHES.against(saw, wanted, holds=not missing, evidence=[last, answer])


def _rules_otherwise(last: Exchange, answer: Exchange) -> bool:
    """Whether a 304 gives the copy another policy. A lifetime that ends at a fixed time may be a little shorter."""
    before, after = (directives(one.header("cache-control")) for one in (last, answer))
    if (before.keys() ^ after.keys()) & _DECISIVE:
        return True
    for shared in (True, False):
        long, now = (lifetime(one, shared=shared) or 0 for one in (last, answer))
        if max(long, now) > 2 * min(long, now) + _NEAR_SECONDS:
            return True
    return False


def _tags(whole: Sequence[Exchange]) -> Finding:
    """A strong ETag stands for the very bytes, so that those of gzip are not those of the plain page."""
    owners: dict[str, set[str]] = {}
    for exchange in whole:
        if (tag := exchange.header("etag")) and not tag.startswith("W/"):
            owners.setdefault(tag, set()).add(exchange.header("content-encoding").lower() or Encoding.IDENTITY.value)
    shared = [codings for codings in owners.values() if len(codings) > 1]
    saw = f"one strong ETag for {', '.join(sorted(shared[0]))}" if shared else "none shared"
    return TAGS.against(saw, "an ETag for each coding, or a weak one", holds=not shared, evidence=whole)


def _head(head: Exchange, last: Exchange) -> Finding:
    wanted = "the status and headers of GET"
    if why := silence([head]):
        return HEAD.against(why, wanted, holds=None if not head.answered else False, evidence=[head])
    differing = [
        name
        for name in REPEATED
        if head.header(name) != last.header(name) and (head.header(name) or name not in _OPTIONAL)
    ]
    saw = "the same" if head.status == last.status else f"{head.status} where GET got {last.status}"
    if head.status == last.status and differing:
        saw = f"another {', '.join(differing)}"
    return HEAD.against(saw, wanted, holds=saw == "the same", evidence=[last, head])


def _condition(last: Exchange) -> tuple[str, str] | None:
    """The header with which a browser would ask about its copy; None as well where it can't be sent back."""
    since = last.header("last-modified")
    condition = ("If-None-Match", tag) if (tag := last.header("etag")) else ("If-Modified-Since", since)
    return condition if condition[1] and _SENDABLE.fullmatch(condition[1]) else None


def _fields(exchange: Exchange) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in exchange.header("vary").split(",") if name.strip())
