"""What every check says in the same words: whose a verdict is, and that nobody answered."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.text import hidden, shortened
from roundsman.report.rules.verdict import Claim, Finding, Verdict
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site

#: Characters of a redirect's address in a sentence.
MAX_LOCATION_CHARACTERS = 300


#: The claim that fails where Roundsman's own services did.
SERVICES = "services"


def verdict_on(  # noqa: PLR0913 - the two columns are asked for by name
    site: Site,
    rule: Rule,
    check: str,
    subject: str,
    findings: Iterable[Finding],
    *,
    by_rfc: str = "",
    observed: str = "",
) -> Verdict:
    """A verdict with the rule's runbook, and the two columns where they are known."""
    command = _written(tuple(rule.rollback.command))
    said = (check, subject, rule.name, site.owner_of(rule), rule.expected_result, command, tuple(findings))
    return Verdict(*said, by_rfc=by_rfc, observed=observed)


@lru_cache(maxsize=256)
def _written(command: tuple[str, ...]) -> str:
    return shlex.join(command)


def could_not_look(site: Site, check: str, why: str, subject: str = "") -> Verdict:
    """The verdict on something that nobody could look at."""
    claim = Claim(f"{check}/looked", "The check could look.")
    finding = claim.against(why, "a look at every route", holds=None)
    owner = site.owner.partition("<")[0].strip()
    rollback = shlex.join(site.release.rollback) if site.release else ""
    return Verdict(check, subject or site.site, "", owner, "The check ends with a verdict.", rollback, (finding,))


def services_failed(verdict: Verdict) -> Verdict:
    """A verdict on something nobody could look at, because Roundsman's own services failed.

    It says nothing against the site, so its owner is not told.
    """
    [finding] = verdict.findings
    own = Claim(f"{verdict.check}/{SERVICES}", "Roundsman's own services answer.")
    return replace(verdict, findings=(own.against(finding.saw, "Prefect's API and the ledger", holds=None),))


def is_of_services(verdict: Verdict) -> bool:
    """Whether a verdict says nothing of the site, as Roundsman's own services failed."""
    return any(finding.claim == f"{verdict.check}/{SERVICES}" for finding in verdict.findings)


def unanswered(check: str, seen: Sequence[Exchange]) -> Finding | None:
    """A finding when one of the exchanges brought no answer; without it the rest can't be judged."""
    silent = next((exchange for exchange in seen if not exchange.answered), None)
    if silent is None:
        return None
    claim = Claim(f"{check}/answers", "The route answers.")
    return claim.against(f"no answer: {silent.detail or silent.error}", "an answer", holds=None, evidence=[silent])


def wrong_status(check: str, seen: Sequence[Exchange], wanted: int) -> Finding | None:
    """A finding when a status is not the promised one; a 500 with perfect headers proves nothing."""
    other = next((exchange for exchange in seen if exchange.status != wanted), None)
    if other is None:
        return None
    claim = Claim(f"{check}/status", "The status is the one that the route promises.", "RFC 9110 section 15")
    return claim.against(f"{other.status}{redirected(other)}", wanted, holds=False, evidence=[other])


def redirected(exchange: Exchange) -> str:
    """Where a redirect leads, such as ` to /login?...`; empty when it is none."""
    location = shown_location(exchange.header("location"))
    return f" to {location}" if location else ""


def shown_location(location: str) -> str:
    """Where a redirect leads, in a sentence: without what can be a password or a token, and not too long."""
    return shortened(hidden(re.sub(r"([?#]).*", r"\1...", location, flags=re.DOTALL)), MAX_LOCATION_CHARACTERS)


def example_status(check: str, rule: Rule, path: str, seen: Sequence[Exchange]) -> Finding | None:
    """A cached or a member's page keeps the promised status; a preview may say 403 or 404, but not break."""
    if path in rule.examples.cached or rule.cache.by is Audience.MEMBER:
        found = wrong_status(check, seen, rule.status)
        if found and rule.cache.by is Audience.MEMBER and (found.evidence[0].status // 100 == 3 or "401" in found.saw):
            return found._replace(saw=f"{found.saw}: the member is not logged in")
        return found
    broken = next((exchange for exchange in seen if exchange.status >= 500 and exchange.status != rule.status), None)
    claim = Claim(f"{check}/status", "The route does not end in a server error.", "RFC 9110 section 15.6")
    return claim.against(broken.status, "no server error", holds=False, evidence=[broken]) if broken else None
