"""Purges of real caches, proven: what a test says of one, and what comes back."""

from dataclasses import dataclass

from flows.tasks.blocks import edges_of
from roundsman.purge.prove import PurgeTest, prove
from roundsman.purge.rules.judge import judge_all
from roundsman.purge.rules.plan import PurgeRequest
from roundsman.purge.rules.proof import Proof
from roundsman.report.rules.verdict import Verdict
from roundsman.site.rules.site import Site
from tests.jobs.conftest import articles, control, site

MARKER = {"marker": {"header": "x-origin-gen"}}


@dataclass
class Outcome:
    """What a purge came to: each claim that is no pass, and what was seen."""

    verdict: Verdict
    proof: Proof

    @property
    def is_pass(self):
        return self.verdict.outcome == "pass"

    @property
    def trouble(self):
        found = self.verdict.findings
        return {f.claim.removeprefix("targeted-purge/"): f.outcome.value for f in found if f.outcome != "pass"}

    @property
    def said(self):
        return self.verdict.observed

    def saw(self, claim):
        return [f.saw for f in self.verdict.findings if f.claim == f"targeted-purge/{claim}"]


def shop(url, kind, name, *, family="articles", settings=(), purge=(), rule=(), **more):
    """A site behind a cache of some kind, whose pages no other test asks for."""
    purge = {"canary": f"/{family}/{name}/one", **MARKER, **dict(purge)}
    own = {
        "paths": [f"/{family}/{name}/**"],
        "examples": {"cached": [f"/{family}/{name}/{page}" for page in ("one", "two", "three")]},
    }
    block = f"{kind.replace('_', '-')}/lab"
    written = site(url, [articles(name, purge=purge, **{**own, **dict(rule)}), control(name)], block)
    written["blocks"][block] = dict(settings)
    written["blocks"] |= more.pop("blocks", {})
    return Site.model_validate({**written, **more})


async def purged(place, *routes, soft=False, **test):
    """Purge the canary, or other routes, and judge it."""
    routes = routes or (place.rules[0].purge.canary,)
    request = PurgeRequest(routes, soft=soft, accept=frozenset(place.accept))
    proof = await prove(place, PurgeTest(request, **test), await edges_of(place))
    verdicts = judge_all(place, proof, routes)
    return Outcome(verdicts[0], proof)
