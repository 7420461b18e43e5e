"""What a candidate answers otherwise: status, headers and body, beside what the baseline says otherwise each time.

A field is compared in the same requests three ways, as Diffy (Twitter, 2015) does: where the baseline disagrees with
itself as often as with the candidate, the field is noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from roundsman.http.cache_status import cache_state
from roundsman.report.rules.exchange import TELLING, Exchange
from roundsman.timing.rules.interleaving import Arm, ArmExchange
from roundsman.timing.rules.probabilities import false_discovery, fisher_more

ALPHA = 0.05
#: Requests of all three arms that it takes; with fewer nothing is noise and nothing is news.
LEAST = 5
STATUS, BODY = "status", "body"
#: The headers that rule a cache.
POLICY = frozenset(
    [
        "cache-control",
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "edge-control",
        "expires",
        "netlify-cdn-cache-control",
        "pragma",
        "surrogate-control",
        "vary",
        "vercel-cdn-cache-control",
        "x-accel-expires",
    ]
)
#: What is the same for every copy of one answer, however old the copy is.
_LASTING = (POLICY - {"expires"}) | {"content-type", "content-encoding", "location"}
#: What tells of one request, or of one node, and never of a release; what caches did is compared by its own words.
_PASSING = frozenset(
    ["age", "connection", "date", "keep-alive", "transfer-encoding", "content-length", "via", "x-cache", "x-cache-hits"]
)


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field in which the candidate disagrees with the baseline more often than the baseline with itself.

    `apart` and `noise` are the counts of both disagreements in `pairs` requests; `before` and `now` are values, empty
    where one could carry a person's data.
    """

    field: str
    apart: int
    noise: int
    pairs: int
    before: str = ""
    now: str = ""
    q: float = 1.0


Fields = Mapping[str, str]


def differences(answers: Mapping[str, Sequence[ArmExchange]]) -> dict[str, tuple[FieldDifference, ...]]:
    """The fields that a release changed, for each route. All fields of all routes are corrected together.

    Answers that come from the origin are compared whole. Where there are only stored copies, only what is the same in
    every copy is: the two baselines share their copies, so that these can't tell what is noise.
    """
    counted = [(path, one) for path, seen in answers.items() for one in _counted(seen)]
    qs = false_discovery(
        [fisher_more((one.apart, one.pairs - one.apart), (one.noise, one.pairs - one.noise)) for _, one in counted]
    )
    found: dict[str, list[FieldDifference]] = {path: [] for path in answers}
    for (path, one), q in zip(counted, qs, strict=True):
        if q <= ALPHA:
            found[path].append(replace(one, q=q))
    return {path: tuple(some) for path, some in found.items()}


def _counted(answers: Sequence[ArmExchange]) -> Iterator[FieldDifference]:
    answered = [one for one in answers if one.exchange.answered]
    fetched = [one for one in answered if cache_state(one.exchange).from_store is not True]
    triples, lasting = _triples(fetched), False
    if len(triples) < LEAST:
        triples, lasting = _triples(answered), True
    if len(triples) < LEAST:
        return
    read = [tuple(_fields(one, lasting=lasting) for one in triple) for triple in triples]
    for name in sorted({name for triple in read for fields in triple for name in fields}):
        values = [tuple(fields.get(name, "") for fields in triple) for triple in read]
        noise = sum(first != again for first, again, _ in values)
        apart = [(first, now) for first, _, now in values if first != now]
        # What never differs can't be a difference, and need not be corrected for (Tarone 1990).
        if apart or noise:
            shown = apart[0] if apart and (name == STATUS or name in TELLING) else ("", "")
            yield FieldDifference(name, len(apart), noise, len(values), *shown)


def _triples(answers: Sequence[ArmExchange]) -> list[tuple[Exchange, ...]]:
    """The n-th request of each arm in each round, where all three answered."""
    arms: dict[int, dict[Arm, list[Exchange]]] = {}
    for one in answers:
        arms.setdefault(one.round, {arm: [] for arm in Arm})[one.arm].append(one.exchange)
    return [triple for _, here in sorted(arms.items()) for triple in zip(*here.values(), strict=False)]


def _fields(exchange: Exchange, *, lasting: bool) -> Fields:
    names = {name.lower() for name in exchange.names} - _PASSING
    # Each arm may name itself.
    host = urlsplit(exchange.url).netloc
    fields = {name: exchange.header(name).replace(host, "HOST") for name in names if not lasting or name in _LASTING}
    return {STATUS: str(exchange.status)} | fields | ({} if lasting else {BODY: exchange.body_hash})
