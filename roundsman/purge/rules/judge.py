"""Targeted purge: this route is new, its neighbours are not, and it is cached again.

A 200 from the purge, a MISS and an Age of 0 each prove nothing alone. What proves is, in this order, a content marker
that changed, a copy born after the purge on the prober's own clock, and only then the edge's label: `evidence`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from roundsman.http.cache_status import cache_state
from roundsman.http.copies import difference, observed
from roundsman.http.freshness import left
from roundsman.purge.rules.evidence import (
    Observation,
    ProofTerms,
    Strength,
    kept_again,
    new,
    refuses,
    still_new,
    untouched,
    warm_enough,
)
from roundsman.purge.rules.proof import MADE_UP, Proof, View, ViewKind
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of
from roundsman.site.rules.wording import unanswered, verdict_on, wrong_status

CHECK = "targeted-purge"

WARM = Claim(f"{CHECK}/warm", "The route is in the store, with time left, so that a purge can show.")
TOUCHED = Claim(f"{CHECK}/touched", "The command that changes the canary works.", breach=Outcome.UNKNOWN)
ACCEPTED = Claim(f"{CHECK}/accepted", "The edge takes the purge, and says when it is done.")
VARIANTS = Claim(f"{CHECK}/variants", "Every variant of the route is purged and looked at.", breach=Outcome.WARN)
SERVERS = Claim(f"{CHECK}/servers", "The copy of each server is looked at.", breach=Outcome.WARN)
REFRESHED = Claim(f"{CHECK}/refreshed", "After the purge the route is new.")
IN_TIME = Claim(f"{CHECK}/in-time", "The route is new as soon as the edge promises.")
CACHED_AGAIN = Claim(f"{CHECK}/cached-again", "The new copy is kept.")
STAYS_NEW = Claim(f"{CHECK}/stays-new", "What was on its way during the purge does not bring the old copy back.")
NEIGHBOUR = Claim(f"{CHECK}/neighbour", "The purge leaves its neighbours alone.")
CONTROL = Claim(f"{CHECK}/control", "A far route did not change by itself meanwhile.")
NO_CONTROL = replace(CONTROL, breach=Outcome.WARN)

#: Seconds in which a softly purged copy may still be served, while the new one is fetched.
SOFT_SECONDS = 5.0


def old_ones(site: Site, proof: Proof) -> list[View]:
    """The targets of which no look has found a new copy."""
    return [
        view
        for view in proof.scene.targets
        if _first_new(proof, view, proof.terms(_rule(site, view), view))[0].holds is False
    ]


def _rule(site: Site, view: View) -> Rule:
    rule = site.rule_for(view.path)
    assert rule is not None, "a target has a rule"  # noqa: S101 - the plan refuses others
    return rule


def judge_all(site: Site, proof: Proof, routes: Sequence[str], *, drill: bool = False) -> list[Verdict]:
    """A verdict for each target: the routes that were named, and where they lead."""
    urls = proof.plan.urls or tuple(site.url(route) for route in routes)
    ruled = [(url, site.rule_for(url.removeprefix(site.base_url))) for url in urls]
    return [judge(site, rule, proof, url, drill=drill) for url, rule in ruled if rule]


def judge(site: Site, rule: Rule, proof: Proof, url: str, *, drill: bool = False) -> Verdict:
    """Judge what was seen of one target. In a drill it is asked for by its rule, whose status is promised."""
    mine = [view for view in proof.scene.targets if view.of == url]
    near = [view for view in proof.scene.others if view.of in {url, ""}]
    findings = list(_findings(site, rule, proof, (mine, near), drill=drill))
    answers = [exchange for view in mine for exchange in proof.after.get(view, ())]
    outcome = proven(findings, len(mine)) or (observed(answers) if answers else "")
    return verdict_on(site, rule, CHECK, url.removeprefix(site.base_url), findings, observed=outcome)


def proven(findings: Sequence[Finding], copies: int) -> str:
    """In one line, what was proven and how strongly; empty when nothing was."""
    found = {claim: [one for one in findings if one.claim == claim.id] for claim in (REFRESHED, NEIGHBOUR, STAYS_NEW)}
    if not found[REFRESHED] or any(one.outcome is not Outcome.PASS for one in found[REFRESHED]):
        return ""
    weakest = next(one for one in Strength if one in found[REFRESHED][0].saw)
    still = [one for one in found[NEIGHBOUR] if one.outcome is Outcome.PASS]
    parts = [f"new{f' in all {copies} copies' if copies > 1 else ''}, {weakest}"]
    parts += [f"{len(still)} of {len(found[NEIGHBOUR])} neighbours untouched"] if found[NEIGHBOUR] else []
    parts += ["still new later"] if found[STAYS_NEW] and found[STAYS_NEW][0].outcome is Outcome.PASS else []
    return "; ".join(parts)


def _findings(
    site: Site, rule: Rule, proof: Proof, views: tuple[list[View], list[View]], *, drill: bool
) -> Iterator[Finding]:
    mine, near = views
    late = [proof.late[view] for view in mine if view in proof.late]
    after = [one for view in mine for one in proof.after.get(view, ())]
    warm = [one for view in mine for one in proof.warm.get(view, ())]
    looked, usual = [*warm, *after, *late], {one.status for one in warm}
    around = [one for view in near for one in proof.warm.get(view, ())]
    around += [proof.others[view] for view in near if view in proof.others]
    broken = [one for one in (*after, *late) if one.status >= 500]
    shut = [one for one in after if refuses(one.status) and one.status not in usual]
    if silent := unanswered(CHECK, [*looked, *around, *(one for each in proof.seen.values() for one in each)]):
        yield silent
    elif other := wrong_status(CHECK, looked if drill else broken, rule.status):
        yield other
    elif hidden := wrong_status(CHECK, shut, rule.status):
        # Somebody withdrew the page, or the prober is shut out: nobody can tell.
        yield hidden._replace(outcome=Outcome.UNKNOWN)
    elif proof.plan.refusals:
        refusal = proof.plan.refusals[0]
        yield ACCEPTED.against(refusal.observed, f"{refusal.wanted}; {refusal.advice}", holds=None)
    elif proof.problem:
        holds = False if proof.permanent else None
        yield ACCEPTED.against(proof.problem, "a purge that is taken", holds=holds)
    elif cold := _cold(site, proof, mine, near):
        yield cold
    elif proof.touch_problem:
        yield TOUCHED.against(proof.touch_problem, "exit 0", holds=False)
    elif not proof.purges:
        yield ACCEPTED.against("nothing was purged", "a purge that is taken", holds=None)
    else:
        yield from _proof(site, rule, proof, mine, near)


def _cold(site: Site, proof: Proof, mine: Sequence[View], near: Sequence[View]) -> Finding | None:
    """Why nothing can be told: a route that was not stored, or whose copy ends too soon by itself."""
    for view in (*mine, *near):
        seen = proof.warm.get(view, ())
        if view.kind in MADE_UP:
            continue
        if not warm_enough(seen):
            message = f"{_name(view)}: {', '.join(cache_state(exchange) for exchange in seen) or 'not asked'}"
            return WARM.against(message, "two HITs in a row on the same copy", holds=None, evidence=seen)
        if short := _short(site, proof, view):
            return WARM.against(f"{_name(view)}: {short[0]}", short[1], holds=None, evidence=seen[-1:])
    return None


def _short(site: Site, proof: Proof, view: View) -> tuple[str, str] | None:
    """Too little time left for what followed, in words; None when there was enough, or when nobody says."""
    last = proof.warm[view][-1]
    looks = [*proof.others.values(), *proof.late.values(), *(one for each in proof.after.values() for one in each)]
    needed = 2 * (max((one.ended for one in looks), default=last.started) - last.started)
    rest = left(last, targeted=targeted_of(site))
    if rest is None or rest >= needed:
        return None
    return f"{spoken(max(0, rest))} left", f"more than {spoken(round(needed))} of its lifetime left"


def _proof(site: Site, rule: Rule, proof: Proof, mine: Sequence[View], near: Sequence[View]) -> Iterator[Finding]:
    controls = [view for view in near if view.kind is ViewKind.CONTROL]
    looked = {view: untouched(*_pair(proof, view), proof.terms(rule, view, first=True)) for view in controls}
    moved = any(not observation.holds for observation in looked.values())
    taken = moved and _takes_everything(site, rule, proof, near)
    for view, observation in looked.items():
        held = replace(observation, holds=False if taken else True if observation.holds else None)
        if taken:
            held = replace(
                held, observed=f"{observation.observed}: the purge took everything, this and every neighbour at once"
            )
        yield _finding(CONTROL, view, held, "the same copy as before", _pair(proof, view))
    if not controls:
        wanted = "another rule for everyone with a cached example"
        yield NO_CONTROL.against("no far route to watch", wanted, holds=False)
    answers, unsettled = "; ".join(one.answers for one in proof.purges), proof.purges[-1].unsettled
    yield ACCEPTED.against(unsettled or answers, "a purge that is taken, and done", holds=None if unsettled else True)
    if missing := (proof.scene.unlooked or {}).get(mine[0].url):
        message = f"answers vary by {', '.join(missing)}, of which no values are named"
        # Where one variant is purged at a time, the others are as old as they were.
        holds = None if proof.one_variant else False
        yield VARIANTS.against(message, "`purge: {variants: ...}` in the rule", holds=holds)
    if others := proof.scene.unasked:
        message = f"{', '.join(others)} not looked at, as the site speaks {urlsplit(site.base_url).scheme}"
        yield SERVERS.against(message, "`servers` of the site's own scheme that lead to each", holds=False)
    terms = {view: proof.terms(rule, view, certain=not moved or taken) for view in mine}
    found = {view: _first_new(proof, view, terms[view]) for view in mine}
    yield from _together(
        REFRESHED, proof, {view: observation for view, (observation, _) in found.items()}, "a new copy"
    )
    slow = {view: index for view, (observation, index) in found.items() if observation.holds and index}
    yield from _in_time(proof, slow)
    # Old or not, that is reported; what follows is only asked of what is new.
    fresh = [view for view, (observation, _) in found.items() if observation.holds is not False]
    yield from _kept(proof, mine)
    yield from _neighbours(site, rule, proof, near, moved=moved and not taken)
    late = {
        view: still_new(proof.warm[view][-1], proof.after[view][found[view][1] :], proof.late[view], terms[view])
        for view in fresh
        if view in proof.late
    }
    yield from _together(STAYS_NEW, proof, late, "the new copy, or a newer one")


def _takes_everything(site: Site, rule: Rule, proof: Proof, near: Sequence[View]) -> bool:
    """Whether the control and every neighbour went when the purge came, and nothing else explains it.

    Each was still the same copy right before the purge, and has the same content after it: no deploy, no end of a
    lifetime. Without a look right before, or without a sibling, nobody knows.
    """
    watched = [view for view in near if view.kind is ViewKind.CONTROL or _tells(site, proof, view)]
    if not any(view.kind is ViewKind.SIBLING for view in watched):
        return False
    for view in watched:
        (warm, after), before = _pair(proof, view), proof.before.get(view)
        there = before is not None and cache_state(before).from_store and not difference(warm, before)
        gone = untouched(warm, after, proof.terms(rule, view, first=True)).holds is False
        if not there or not gone or after.body_hash != warm.body_hash:
            return False
    return True


def _first_new(proof: Proof, view: View, terms: ProofTerms) -> tuple[Observation, int]:
    """What the first look says, or the first one that finds a new copy; and its index."""
    seen, old = proof.after[view], proof.warm[view][-1]
    observations = [new(old, seen[index:], terms) for index in range(len(seen))]
    if observations[0].holds is not False:
        return observations[0], 0
    return next(((one, index) for index, one in enumerate(observations) if one.holds), (observations[0], 0))


def _in_time(proof: Proof, slow: Mapping[View, int]) -> Iterator[Finding]:
    """New, but not at the first look: a soft purge may do that, for a while."""
    allowed = SOFT_SECONDS if proof.soft else 0.0
    wanted = f"new within {spoken(SOFT_SECONDS)} of a soft purge" if proof.soft else "new at the first look"
    for view, index in slow.items():
        first, then = proof.after[view][0], proof.after[view][index]
        after = then.started - proof.purges[-1].ended
        observation = Observation(
            f"{cache_state(first)} on the old copy, and new after {after:.1f}s", after <= allowed, Strength.LABEL
        )
        yield _finding(IN_TIME, view, observation, wanted, (first, then))
    if proof.soft and not slow:
        yield IN_TIME.against("new at the first look", wanted, holds=True)


def _kept(proof: Proof, mine: Sequence[View]) -> Iterator[Finding]:
    """Whether each copy is kept again. What is gone for good, such as a page that is 404 now, need not be."""
    found = {}
    for view in mine:
        seen = proof.after[view]
        states = ", ".join(cache_state(exchange) for exchange in seen)
        gone = seen[-1].status != proof.warm[view][-1].status
        if not gone or kept_again(seen):
            found[view] = Observation(states, kept_again(seen), Strength.LABEL)
    yield from _together(CACHED_AGAIN, proof, found, "a HIT on the new copy")


def _neighbours(site: Site, rule: Rule, proof: Proof, near: Sequence[View], *, moved: bool) -> Iterator[Finding]:
    watched = [view for view in near if view.kind is not ViewKind.CONTROL and _tells(site, proof, view)]
    if not watched:
        yield NEIGHBOUR.against("no neighbour to watch", "two examples beside the canary", holds=None)
    for view in watched:
        observation = untouched(*_pair(proof, view), proof.terms(rule, view, first=True))
        if moved and not observation.holds:
            observation = replace(observation, holds=None)
        yield _finding(NEIGHBOUR, view, observation, "the same copy as before", _pair(proof, view))


def _tells(site: Site, proof: Proof, view: View) -> bool:
    """Whether a neighbour says anything: a made-up one has to be kept, and be another copy than its target's."""
    if view.kind not in MADE_UP:
        return True
    seen = proof.warm.get(view, ())
    if not warm_enough(seen) or _short(site, proof, view):
        return False
    # Before a shield only the first server that is asked has a MISS.
    if any(cache_state(each[0]).from_store is False for one, each in proof.warm.items() if one.url == view.url):
        return True
    # It was there before, as it is in each round but the first.
    targets = [one for one in proof.scene.targets if one.of == view.of and one.node == view.node]
    return view.kind is not ViewKind.QUERY and all(
        difference(proof.warm[one][-1], seen[-1]) for one in targets if proof.warm.get(one)
    )


def _pair(proof: Proof, view: View) -> tuple[Exchange, Exchange]:
    return proof.warm[view][-1], proof.others[view]


def _name(view: View) -> str:
    return f"{view.path} at {view.which}" if view.which else view.path


def _finding(claim: Claim, view: View, observation: Observation, wanted: str, evidence: Sequence[Exchange]) -> Finding:
    message = (
        observation.observed
        if view.kind is ViewKind.TARGET and not view.which
        else f"{_name(view)}: {observation.observed}"
    )
    return claim.against(message, wanted, holds=observation.holds, evidence=evidence)


def _together(claim: Claim, proof: Proof, found: Mapping[View, Observation], wanted: str) -> Iterator[Finding]:
    """One finding for all copies that are as they should be, in the words of the weakest, and one for each other."""
    good = [view for view, observation in found.items() if observation.holds]
    if good:
        weakest = max(good, key=lambda view: list(Strength).index(found[view].strength))
        message = f"{len(good)} copies: {found[weakest].observed}" if len(good) > 1 else found[weakest].observed
        evidence = [one for view in good for one in _shown(proof, view)]
        yield claim.against(message, wanted, holds=True, evidence=evidence)
    for view, observation in found.items():
        if not observation.holds:
            yield _finding(claim, view, observation, wanted, _shown(proof, view))


def _shown(proof: Proof, view: View) -> list[Exchange]:
    late = [proof.late[view]] if view in proof.late else []
    return [proof.warm[view][-1], *proof.after[view], *late]
