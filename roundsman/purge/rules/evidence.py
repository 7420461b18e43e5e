"""What one copy proves: is it new, is it the one that was there? By content, then by birth time, then by the label."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from roundsman.http.cache_status import cache_state, read
from roundsman.http.freshness import age, birth, left, lifetime
from roundsman.report.rules.exchange import Exchange
from roundsman.site.rules.promises import Marker

#: Seconds: the grain of Age on both sides of a birth time.
AGE_GRAIN_SECONDS = 1.0
#: Seconds of its lifetime that a copy needs: twice as many as a proof takes.
LIFETIME_SECONDS = 12.0


class Strength(StrEnum):
    """How strong a proof is; the strongest first."""

    CONTENT = "proven by content"
    BIRTH = "by birth time"
    LABEL = "by label only"


@dataclass(frozen=True, slots=True)
class ProofTerms:
    """What an answer is held against.

    `purged_at` is when the last purge was sent. `changed`: the content is known to be another one now. `certain`:
    nothing changed by itself meanwhile. `labels_tell`: an edge that did its work answers at least once without a HIT.
    `age_tells`: an Age grows while its copy is kept, so that it tells when the copy was born.
    """

    marker: Marker | None
    purged_at: float
    changed: bool = False
    certain: bool = True
    labels_tell: bool = True
    age_tells: bool = True


@dataclass(frozen=True, slots=True)
class Observation:
    """What was observed of a copy, whether it is as it should be, and how strongly that is known."""

    observed: str
    holds: bool | None
    strength: Strength


def warm_enough(seen: Sequence[Exchange]) -> bool:
    """Whether the last two answers were hits on the same copy."""
    return (
        len(seen) > 1
        and all(cache_state(exchange).from_store for exchange in seen[-2:])
        and seen[-1].body_hash == seen[-2].body_hash
    )


def ends_in(seen: Sequence[Exchange], now: float, targeted: Sequence[str] = ()) -> float | None:
    """Seconds until a copy has ended that would end during a proof; None when it lasts, or would never last.

    With a lifetime of five minutes one round in 25 comes at such a time; the next copy has all of its own before it.
    """
    last = seen[-1]
    whole, rest = lifetime(last, targeted=targeted), left(last, targeted=targeted)
    if whole is None or rest is None or whole < 2 * LIFETIME_SECONDS:
        return None
    ends = rest - (now - last.started)
    return max(0.0, ends) if ends < LIFETIME_SECONDS else None


def kept_again(seen: Sequence[Exchange]) -> bool:
    """Whether the last answer was a hit on what the one before brought."""
    return len(seen) > 1 and bool(cache_state(seen[-1]).from_store) and seen[-1].body_hash == seen[-2].body_hash


def age_stands_still(earlier: Exchange, later: Exchange) -> bool:
    """Whether a copy was kept for longer than its Age has grown: nginx repeats the Age that came with the copy."""
    before, after = age(earlier), age(later)
    if before is None or after is None or earlier.body_hash != later.body_hash or not cache_state(later).from_store:
        return False
    return after - before < later.started - earlier.started - AGE_GRAIN_SECONDS and after <= before


def age_to_wait(exchange: Exchange, now: float) -> float:
    """Seconds to wait so that old and new births differ by more than the grain; 0 when the edge sends no Age."""
    born = birth(exchange)
    return 0.0 if born is None else max(0.0, born + 2 * AGE_GRAIN_SECONDS + 0.1 - now)


def mark(exchange: Exchange, marker: Marker | None) -> str:
    """The content marker of a response; empty when it has none."""
    if marker is None:
        return ""
    if marker.header:
        return exchange.header(marker.header)
    found = re.search(marker.pattern or "", (exchange.body or b"").decode("utf-8", "replace"))
    return found[1 if found.re.groups else 0] if found else ""


def new(old: Exchange, seen: Sequence[Exchange], terms: ProofTerms) -> Observation:
    """Whether the first of some answers is a new copy. The next one may tell its birth, where a MISS has no Age."""
    first = seen[0]
    born = _born(seen) if terms.age_tells else None
    late = born is not None and born < terms.purged_at - AGE_GRAIN_SECONDS
    change = _difference(old, first, terms.marker)
    if change and born is not None and late:
        return Observation(f"{change}, yet {_since(born, terms)}", None, Strength.CONTENT)
    if change and (_declared(old, terms.marker) or born is not None or cache_state(first).from_store is False):
        return Observation(f"{change} ({Strength.CONTENT})", holds=True, strength=Strength.CONTENT)
    if change:
        advice = "name a marker in the rule, to prove by it"
        return Observation(f"{change}, {cache_state(first)}; {advice}", None, Strength.LABEL)
    if terms.changed and (stale := _stale(old, first, terms.marker)):
        return Observation(f"{stale}, though the content changed", holds=False, strength=Strength.CONTENT)
    same = "content unchanged" if first.body_hash == old.body_hash else "other content"
    if born is not None:
        holds = not late if terms.certain else None
        return Observation(f"{same}, {_since(born, terms)} ({Strength.BIRTH})", holds, Strength.BIRTH)
    state = cache_state(first)
    holds = None if state.from_store is None or not terms.certain else not state.from_store
    if state.from_store and not terms.labels_tell:
        holds = None
    stuck = "" if terms.age_tells else ", with an Age that stands still"
    return Observation(f"{same}, {state}{stuck} ({Strength.LABEL})", holds, Strength.LABEL)


def still_new(old: Exchange, seen: Sequence[Exchange], late: Exchange, terms: ProofTerms) -> Observation:
    """Whether a late look still finds the new copy, or a newer one, and not the old one that was on its way."""
    if late.status != seen[0].status and refuses(late.status):
        return Observation(f"{late.status}, which says nothing of its copy", None, Strength.LABEL)
    born = birth(late) if terms.age_tells else None
    state = cache_state(late)
    if old.body_hash != seen[0].body_hash and late.body_hash in {old.body_hash, seen[0].body_hash}:
        back = late.body_hash == old.body_hash
        return Observation(f"{state}, the {'old content again' if back else 'new content'}", not back, Strength.CONTENT)
    if born is not None:
        holds = born >= terms.purged_at - AGE_GRAIN_SECONDS if terms.certain else None
        return Observation(f"{state}, {_since(born, terms)}", holds, Strength.BIRTH)
    same = "the same" if late.body_hash == seen[0].body_hash else "other"
    return Observation(f"{state}, {same} content", holds=True, strength=Strength.LABEL)


def untouched(before: Exchange, after: Exchange, terms: ProofTerms) -> Observation:
    """Whether a neighbour is still the copy that it was: from the store, the same content, born before the purge."""
    if after.status != before.status and refuses(after.status):
        return Observation(f"{after.status}, which says nothing of its copy", None, Strength.LABEL)
    born = birth(after) if terms.age_tells else None
    same = after.body_hash == before.body_hash and mark(after, terms.marker) == mark(before, terms.marker)
    stored = cache_state(after).from_store
    holds: bool | None = bool(stored and same and (born is None or born < terms.purged_at - AGE_GRAIN_SECONDS))
    observed = f"{cache_state(after)}, {'same' if same else 'other'} content"
    servers = read(before).node, read(after).node
    if not holds and all(servers) and servers[0] != servers[1]:
        return Observation(f"{observed}, and another server answered ({servers[1]})", None, Strength.LABEL)
    if born is None:
        return Observation(observed, holds, Strength.LABEL)
    return Observation(f"{observed}, {_since(born, terms)}", holds, Strength.BIRTH)


def refuses(status: int) -> bool:
    """Whether an answer is about who asks, or a server in trouble, so that it says nothing of a copy."""
    return status >= 500 or status in _REFUSES


#: What a login, a firewall or a limit on requests answers.
_REFUSES = frozenset({401, 403, 407, 408, 425, 429, 451})


def _declared(old: Exchange, marker: Marker | None) -> bool:
    return bool(mark(old, marker))


def _difference(old: Exchange, new: Exchange, marker: Marker | None) -> str:
    """In what the content is another one; empty when nothing says so."""
    if new.status != old.status:
        return f"status {old.status}, now {new.status}"
    if _declared(old, marker):
        after = mark(new, marker)
        return "a new marker" if after and after != mark(old, marker) else ""
    for name in ("etag", "last-modified"):
        before, after = (exchange.header(name).removeprefix("W/") for exchange in (old, new))
        if before and after and before != after:
            return f"another {name}"
    return ""


def _stale(old: Exchange, new: Exchange, marker: Marker | None) -> str:
    """What says that this is the old content; empty when nothing does."""
    if _declared(old, marker):
        return "the old marker" if mark(new, marker) else "no marker"
    return "the old content" if new.body_hash == old.body_hash else ""


def _born(seen: Sequence[Exchange]) -> float | None:
    for exchange in seen[:2]:
        if exchange.body_hash == seen[0].body_hash and (born := birth(exchange)) is not None:
            return born
    return None


def _since(born: float, terms: ProofTerms) -> str:
    since = born - terms.purged_at
    return f"born {abs(since):.1f}s {'after' if since >= 0 else 'before'} the purge"
