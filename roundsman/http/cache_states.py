"""The one vocabulary for what caches do, and the words that vendors use for it.

HIT a fresh copy, MISS fetched, EXPIRED a stale copy was fetched anew, REVALIDATED a stale copy was confirmed, STALE a
stale copy was served, BYPASS the cache stood aside on purpose, DYNAMIC not a thing it caches, UNKNOWN it does not say.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class CacheState(StrEnum):
    """What became of one request: did a shared cache answer it?"""

    HIT = "HIT"
    MISS = "MISS"
    EXPIRED = "EXPIRED"
    REVALIDATED = "REVALIDATED"
    STALE = "STALE"
    BYPASS = "BYPASS"
    DYNAMIC = "DYNAMIC"
    UNKNOWN = "UNKNOWN"

    @property
    def from_store(self) -> bool | None:
        """Whether a stored copy answered; None when nobody says.

        REVALIDATED counts: the origin was asked, yet what the visitor got had been stored. Who needs to know whether
        the origin was asked reads `CacheReport.origin_contacted`.
        """
        return _FROM_STORE.get(self._value_, False)


_FROM_STORE = {"HIT": True, "STALE": True, "REVALIDATED": True, "UNKNOWN": None}


class OriginContacted(StrEnum):
    """Whether the origin took part: `background` after the answer was sent, `tried` without success."""

    NO = "no"
    YES = "yes"
    BACKGROUND = "background"
    TRIED = "tried"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Tier:
    """What one cache did, and whether what lies behind it was asked."""

    state: CacheState
    contacted: OriginContacted


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What the status headers of one answer say.

    `state` speaks of the answer as a whole: when the edge missed and a cache behind it had a copy, a stored copy
    answered. `layers` has what each cache did, from the edge inwards. `node` is the edge's name for the server that
    answered, `header` the lower-case name of the header in which the edge spoke, and `held_by` that of the cache that
    held the copy; each is empty when nobody says, `held_by` also when no stored copy answered.
    """

    state: CacheState
    origin_contacted: OriginContacted
    node: str = ""
    layers: tuple[Tier, ...] = ()
    header: str = ""
    held_by: str = ""


HIT = Tier(CacheState.HIT, OriginContacted.NO)
#: Squid says HIT when the origin has just confirmed the copy as well.
HIT_PERHAPS_CONFIRMED = Tier(CacheState.HIT, OriginContacted.UNKNOWN)
MISS = Tier(CacheState.MISS, OriginContacted.YES)
EXPIRED = Tier(CacheState.EXPIRED, OriginContacted.YES)
REVALIDATED = Tier(CacheState.REVALIDATED, OriginContacted.YES)
STALE = Tier(CacheState.STALE, OriginContacted.NO)
STALE_WHILE_FETCHING = Tier(CacheState.STALE, OriginContacted.BACKGROUND)
STALE_FOR_WANT_OF_BETTER = Tier(CacheState.STALE, OriginContacted.TRIED)
BYPASS = Tier(CacheState.BYPASS, OriginContacted.YES)
NOT_CACHEABLE = Tier(CacheState.DYNAMIC, OriginContacted.YES)
MADE_AT_THE_EDGE = Tier(CacheState.DYNAMIC, OriginContacted.NO)
#: A copy that a cache keeps for one visitor alone, which no shared store answered.
OWN_COPY = Tier(CacheState.DYNAMIC, OriginContacted.NO)
REFUSED = Tier(CacheState.UNKNOWN, OriginContacted.NO)
UNSAID = Tier(CacheState.UNKNOWN, OriginContacted.UNKNOWN)
#: The edge made an error page itself; whether it had asked the origin is not said.
ERROR_PAGE = Tier(CacheState.DYNAMIC, OriginContacted.UNKNOWN)

#: Words that mean the same wherever they are said. What a vendor means otherwise stands with that vendor.
_WORDS_OF: Mapping[Tier, str] = {
    HIT: (
        "HIT HIT-FRESH PRERENDER ORIGINSHIELDHIT TCP_HIT TCP_MEM_HIT TCP_IMS_HIT TCP_INM_HIT TCP_NEGATIVE_HIT"
        " TCP_REMOTE_HIT TCP_OFFLINE_HIT TCP_PARTIAL_HIT HIT-FRONT HIT-LOCAL HIT-REMOTE"
    ),
    MISS: "MISS FETCH TCP_MISS TCP_SWAPFAIL_MISS TCP_CLIENT_REFRESH_MISS",
    # Traffic Server's hit-stale: the copy was stale, the origin was asked, and the visitor got what it answered.
    EXPIRED: "EXPIRED HIT-STALE TCP_REFRESH_MISS TCP_REFRESH_MODIFIED TCP_EXPIRED_MISS",
    REVALIDATED: (
        "REVALIDATED REVALIDATE REFRESHHIT TCP_REFRESH_HIT TCP_REFRESH_UNMODIFIED TCP_EXPIRED_HIT TCP_REFRESHHIT"
    ),
    STALE_WHILE_FETCHING: "STALE UPDATING HIT-GRACE",
    STALE_FOR_WANT_OF_BETTER: "HITSTALE TCP_REFRESH_FAIL_HIT TCP_REFRESH_FAIL TCP_REFRESH_FAIL_OLD",
    BYPASS: "BYPASS PASS PIPE SKIPPED DISABLED CONFIG_NOCACHE",
    NOT_CACHEABLE: "DYNAMIC UNCACHEABLE NOTCACHEABLE PRIVATE_NOSTORE",
    MADE_AT_THE_EDGE: (
        "SYNTH CONSTRUCTED REDIRECT LAMBDAGENERATEDRESPONSE FUNCTIONGENERATEDRESPONSE INT INT-FRONT INT-LOCAL"
    ),
    REFUSED: "TCP_DENIED TCP_COOKIE_DENY LIMITEXCEEDED CAPACITYEXCEEDED N/A",
    UNSAID: "UNKNOWN NONE NONE/UNKNOWN ERROR",
}
#: The words of `fastly_info.state` before their suffixes, the longest first. That a request went through another server
#: of its data centre (CLUSTER, REMOTE) or waited for another one (WAIT) changes nothing; REFRESH is said after a 304.
#: https://www.fastly.com/documentation/reference/vcl/variables/miscellaneous/fastly-info-state/, read on 2026-12-01
_FASTLY_STATES: Mapping[str, Tier] = MappingProxyType(
    {
        "BG-ERROR": STALE_FOR_WANT_OF_BETTER,
        "HIT-STALE": STALE_WHILE_FETCHING,
        "HIT-SYNTH": MADE_AT_THE_EDGE,
        "HITPASS": BYPASS,
        "UPGRADE": NOT_CACHEABLE,
        "ERROR": ERROR_PAGE,
        "HIT": HIT,
        "MISS": MISS,
        "PASS": BYPASS,
    }
)
_FASTLY_SUFFIXES = "(-(CLUSTER|REMOTE|WAIT|REFRESH|LOSTHDR|PASS|RECV|ERROR))"
#: What Fastly means otherwise than others do by the same word.
FASTLY_WORDS: Mapping[str, Tier] = MappingProxyType({name: _FASTLY_STATES[name] for name in ("HIT-STALE", "ERROR")})
_WORDS = MappingProxyType({word: tier for tier, words in _WORDS_OF.items() for word in words.split()})
NO_WORDS: Mapping[str, Tier] = MappingProxyType({})
#: A server's name without a domain, as it stands before its word; and how often a copy was used, behind the word.
_SERVER = re.compile(r"[A-Z]+\d+")
_COUNT = re.compile(r"(?<=[A-Z])[/(]\d+\)?$")


def tier(entry: str, own: Mapping[str, Tier] = NO_WORDS) -> Tier | None:
    """What one entry of a status header says; its first word counts, as in `RefreshHit from cloudfront`.

    `own` holds, in upper case, the words that this vendor means differently. None when the word means nothing here.
    """
    words = _verdict(entry.upper())
    # Some put Squid's word, which is the more exact one, behind a plain one.
    exact = words[1] if len(words) > 1 and words[1].startswith("TCP_") else "".join(words[:1])
    word = exact.strip("\"'()[];:")
    if found := own.get(word) or _WORDS.get(word) or _fastly_state(word):
        return found
    if not word.startswith("TCP_"):
        return None
    # Squid's family puts more and more between these two.
    return HIT if word.endswith("_HIT") else MISS if word.endswith("_MISS") else None


def _fastly_state(word: str) -> Tier | None:
    """What a state with suffixes says, such as `HIT-STALE-CLUSTER`."""
    for name, found in _FASTLY_STATES.items():
        if re.fullmatch(rf"{name}{_FASTLY_SUFFIXES}*", word):
            return REVALIDATED if word.endswith("-REFRESH") else found
    return None


def _verdict(entry: str) -> list[str]:
    """The words of an entry, the cache's verdict first: of `CACHE HIT`, Wikimedia's `CP3066 HIT/6`, `CP3066 HIT(6)`."""
    words = entry.split(None, 2)
    if len(words) == 2 and (words[0] == "CACHE" or _SERVER.fullmatch(words[0])):
        words.reverse()
    return [_COUNT.sub("", words[0]), *words[1:]] if words else []


def tiers(value: str, own: Mapping[str, Tier] = NO_WORDS) -> list[Tier]:
    """What a status header says of each cache, the edge last; empty when no entry of it means anything.

    Caches add themselves at the end, but Akamai's child speaks before its parent.
    """
    entries = value.split(",")
    if entries[0].lower().split()[-2:] == ["from", "child"]:
        entries.reverse()
    found = [tier(entry, own) for entry in entries]
    return [known or UNSAID for known in found] if any(found) else []


def report_of(found: Sequence[Tier], header: str, node: str = "") -> CacheReport | None:
    """Sum up what the caches said, the edge last; None when they said nothing."""
    if not found:
        return None
    answer = _seen_through(found)
    holder = header if answer.state.from_store else ""
    return CacheReport(answer.state, answer.contacted, node.strip(), tuple(reversed(found)), header, holder)


def stacked(found: Sequence[CacheReport]) -> CacheReport:
    """Sum up what several headers say, the edge's own first: each speaks of a layer, or several, of its own."""
    if len(found) == 1:
        return found[0]
    layers = tuple(layer for one in found for layer in one.layers)
    answer = _seen_through(layers[::-1])
    holders = [one.held_by for one in found if one.held_by] if answer.state.from_store else [""]
    return CacheReport(answer.state, answer.contacted, found[0].node, layers, found[0].header, holders[0])


def _seen_through(found: Sequence[Tier]) -> Tier:
    """The tier that answered. What an edge that asked nobody tells of the caches behind it is history."""
    answer = found[0]
    for one in found[1:]:
        if one.contacted is OriginContacted.NO or one.state in {CacheState.HIT, CacheState.STALE}:
            answer = one
        elif one.state is CacheState.REVALIDATED:
            answer = Tier(one.state, answer.contacted)
        elif not answer.state.from_store and one.state is not CacheState.UNKNOWN:
            answer = one
    return answer
