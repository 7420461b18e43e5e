"""A purge with its proof: warm, purge twice, look again. It records what happened and judges nothing.

It takes about five seconds where a purge is done at once: two until old and new copies differ in age, one until a
fetch that was under way has ended, one more for the late look; and six seconds more where the old copy stays. One
target with six neighbours and a control, on one server, costs about 35 requests: a first look, two or three for each
page before the purge, two for the target and one for each other page afterwards, and one late.
"""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from roundsman.http.freshness import age
from roundsman.probe.ask import ask, outside, pause
from roundsman.probe.probe import now
from roundsman.purge.rules.evidence import AGE_GRAIN_SECONDS, age_to_wait, ends_in, kept_again, warm_enough
from roundsman.purge.rules.judge import old_ones
from roundsman.purge.rules.order import Powers, PurgeError
from roundsman.purge.rules.plan import PurgePlan, PurgeRequest, plan_purge
from roundsman.purge.rules.proof import (
    MAX_TRIES,
    PATIENCE_SECONDS,
    Proof,
    Scene,
    View,
    flight,
    scene,
    stale_window,
    without_unkept,
)
from roundsman.purge.send import Edges, carry_out, powers_of
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.rollback.find_and_run import run
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of

#: How often a redirect is followed on the site.
MAX_REDIRECTS = 5
#: How long the first purge may take for a second one to be sent; else a check would take too long.
MAX_FIRST_PURGE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class PurgeTest:
    """What to purge and to prove.

    `touch` is a command that changes the content; `changed` says that it has been changed already. `regardless`: purge
    also what was not stored, so that nothing can be proven. `again=False` purges once only. `patience` is in seconds.
    """

    request: PurgeRequest
    touch: Sequence[str] = ()
    changed: bool = False
    regardless: bool = False
    again: bool = True
    patience: float = PATIENCE_SECONDS
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def name(self) -> str:
        """What is purged, in a few words."""
        first, *more = (*self.request.routes, *self.request.keys)
        return f"{first} and {len(more)} more" if more else first


async def plan(site: Site, request: PurgeRequest, edges: Edges) -> PurgePlan:
    """The plan of a purge, with the ends of its redirects; nothing is purged."""
    return (await _planned(site, request, powers_of(edges)))[0]


async def prove(site: Site, test: PurgeTest, edges: Edges) -> Proof:
    """Purge some routes, and see what became of them, of their neighbours and of a far control."""
    tiers = powers_of(edges)
    planned, seen = await _planned(site, replace(test.request, run=f"{test.nonce}-0"), tiers)
    proof = Proof(planned, seen=seen, soft=test.request.soft)
    if planned.refusals or not all(answers[-1].answered for answers in seen.values()):
        return proof
    chosen = scene(site, planned, tiers, seen, test.nonce)
    warm = await _warm(site, chosen)
    chosen = without_unkept(site, chosen, warm)
    warm = await _lasting(site, chosen, {view: answers for view, answers in warm.items() if view in chosen.views})
    proof = replace(
        proof,
        scene=chosen,
        warm=warm,
        changed=test.changed or bool(test.touch),
        labels_tell=not any(tier.refills for tier in tiers),
        one_variant=any(tier.one_variant for tier in tiers),
    )
    if not test.regardless and not all(warm_enough(warm[view]) for view in chosen.targets):
        return proof
    await pause(max(age_to_wait(warm[view][-1], now()) for view in chosen.views))
    proof = replace(proof, before=await _before(site, proof))
    if test.touch:
        with outside():
            problem = await run(test.touch, timeout=30)
        if problem:
            return replace(proof, touch_problem=problem)
    try:
        proof = await _purge(site, test, edges, proof)
    except PurgeError as error:
        return replace(proof, problem=str(error), permanent=error.permanent)
    others = dict(zip(chosen.others, await _ask(site, chosen.others), strict=True))
    await pause(proof.purges[-1].ended + max(_flight(site, proof) + _window(proof), _watch(site, proof)) - now())
    late = dict(zip(chosen.targets, await _ask(site, chosen.targets), strict=True))
    return replace(proof, others=others, late=late)


async def _before(site: Site, proof: Proof) -> dict[View, Exchange]:
    """One more look at what sends an Age, as late as can be."""
    aged = [view for view in proof.scene.views if age(proof.warm[view][-1]) is not None]
    return dict(zip(aged, await _ask(site, aged), strict=True))


async def _purge(site: Site, test: PurgeTest, edges: Edges, proof: Proof) -> Proof:
    """Purge, purge again, and look; once more where one variant hides another, and look longer where nothing is new."""
    proof = await _once(site, test, edges, proof)
    if test.again and proof.purges[0].ended - proof.purges[0].started <= MAX_FIRST_PURGE_SECONDS:
        # A fetch that was under way during the first purge may have stored the old page.
        await pause(_flight(site, proof))
        proof = await _once(site, test, edges, proof)
    proof = await _look(site, proof, proof.scene.targets)
    rounds = proof.plan.rounds if test.again and proof.plan.rounds > 1 else 0
    while (old := old_ones(site, proof)) and len(proof.purges) <= rounds:
        # The look has brought them into sight again; to purge the others as well would only hide them.
        proof = await _look(site, await _once(site, test, edges, proof, old), old)
    until = now() + test.patience
    while (old := old_ones(site, proof)) and now() < until:
        await pause(min(1.0, test.patience))
        proof = await _look(site, proof, old)
    return proof


async def _once(site: Site, test: PurgeTest, edges: Edges, proof: Proof, only: Sequence[View] = ()) -> Proof:
    """Carry out a plan of its own, of all variants or `only` of some; what was seen of these before counts no more."""
    run = f"{test.nonce}-{len(proof.purges)}"
    request = replace(test.request, run=run, redirects=_redirects(proof.seen))
    planned = plan_purge(site, request, powers_of(edges))
    if only:
        wanted = [order for order in planned.orders if any(view.is_of(order) for view in only)]
        planned = replace(planned, orders=tuple(wanted))
    purged = replace(await carry_out(edges, planned), partly=bool(only))
    after = {view: seen for view, seen in proof.after.items() if only and view not in only}
    return replace(proof, purges=(*proof.purges, purged), after=after)


async def _planned(
    site: Site, request: PurgeRequest, tiers: Sequence[Powers]
) -> tuple[PurgePlan, dict[str, list[Exchange]]]:
    """The plan, and a first answer of each target: where it leads, and by what it varies."""
    seen: dict[str, list[Exchange]] = {}
    planned = plan_purge(site, request, tiers)
    for _ in range(MAX_REDIRECTS):
        unseen = [url for url in planned.urls if url not in seen]
        if planned.refusals or not unseen:
            break
        for url, exchange in zip(unseen, await ask(site, [Probe(url) for url in unseen]), strict=True):
            seen[url] = [exchange]
        planned = plan_purge(site, replace(request, redirects=_redirects(seen)), tiers)
    return planned, seen


def _redirects(seen: Mapping[str, Sequence[Exchange]]) -> dict[str, str]:
    return {
        url: urljoin(url, answers[-1].header("location"))
        for url, answers in seen.items()
        if answers[-1].status // 100 == 3 and answers[-1].header("location")
    }


async def _warm(site: Site, views: Scene) -> dict[View, list[Exchange]]:
    """Ask every view until its last two answers are hits on one copy, a bounded number of times.

    The targets first: a neighbour that is a hit at once may then be a target's own copy under another name.
    """
    warm: dict[View, list[Exchange]] = defaultdict(list)
    for some in (views.targets, views.others):
        for _ in range(MAX_TRIES):
            cold = [view for view in some if not warm_enough(warm[view])]
            if not cold:
                break
            for view, exchange in zip(cold, await _ask(site, cold), strict=True):
                warm[view].append(exchange)
    return dict(warm)


async def _lasting(site: Site, views: Scene, warm: Mapping[View, list[Exchange]]) -> dict[View, list[Exchange]]:
    """Where a copy would end by itself during the proof, wait for its end and warm the next one."""
    targeted = targeted_of(site)
    found = dict(warm)
    for _ in range(2):
        ending = {
            view: seconds
            for view, seen in found.items()
            if warm_enough(seen) and (seconds := ends_in(seen, now(), targeted)) is not None
        }
        if not ending:
            break
        await pause(max(ending.values()) + AGE_GRAIN_SECONDS)
        targets, others = (tuple(view for view in some if view in ending) for some in (views.targets, views.others))
        found |= await _warm(site, Scene(targets, others))
    return found


async def _look(site: Site, proof: Proof, views: Sequence[View]) -> Proof:
    """Ask some targets until each is kept again, a bounded number of times."""
    found: dict[View, list[Exchange]] = defaultdict(list)
    for _ in range(MAX_TRIES):
        if not (cold := [view for view in views if not kept_again(found[view])]):
            break
        for view, exchange in zip(cold, await _ask(site, cold), strict=True):
            found[view].append(exchange)
    more = {view: [*proof.after.get(view, ()), *found[view]] for view in views}
    return replace(proof, after={**proof.after, **more})


async def _ask(site: Site, views: Sequence[View]) -> list[Exchange]:
    return await ask(site, [view.probe for view in views], connections=4)


def _flight(site: Site, proof: Proof) -> float:
    """Seconds that a fetch from the origin may take."""
    warm = [exchange for answers in proof.warm.values() for exchange in answers]
    return max(flight(site.rule_for(view.path), warm) for view in proof.scene.targets)


def _watch(site: Site, proof: Proof) -> float:
    """Seconds after the purge at which the rules want the last look; 0 when none says."""
    rules = [site.rule_for(view.path) for view in proof.scene.targets]
    return max((rule.purge.watch or 0.0 for rule in rules if rule and rule.purge), default=0.0)


def _window(proof: Proof) -> float:
    """Seconds in which a softly purged copy may still be served."""
    return stale_window([answers[-1] for answers in proof.after.values()]) if proof.soft else 0.0
