"""The vectors of cache decisions and of status headers; `VECTORS_DIR` names another folder with files of these names."""

import json
import os
from pathlib import Path

import pytest

from roundsman.http import vendor_headers
from roundsman.http.cache_status import read
from roundsman.http.rfc9111_reuse import HttpRequest, HttpResponse, judge
from roundsman.report.rules.exchange import Exchange, Probe

OURS = Path(__file__).parents[1] / "vectors"
FOLDER = Path(os.environ.get("VECTORS_DIR") or OURS)


def vectors(name):
    """The vectors of one file, each under its own name."""
    found = json.loads((FOLDER / name).read_text(encoding="utf-8"))["vectors"]
    return [pytest.param(vector, id=vector["id"]) for vector in found]


# --- cache_vectors.json: what a cache may store and answer from ---

#: Where the judge departs from a SHOULD of our own vectors, and why.
DEPARTURES = {}
ASKED = ("storable", "heuristic_allowed", "explicit_lifetime", "age_at_next", "fresh_at_next")


def targeted(profile):
    """The fields that a cache of some profile obeys instead of Cache-Control."""
    if (known := vendor_headers.EDGES.get(profile)) and known.targeted:
        return known.targeted
    standard = {"rfc9111": (), "rfc9213": ("cdn-cache-control",)}
    return standard.get(profile, ("surrogate-control",))


def decided(vector):
    """A vector's decision in the vector's own words."""
    request, response, following = (vector[part] for part in ("request", "response", "next"))
    return judge(
        asked(request),
        HttpResponse(response["status"], pairs(response), vector["received_at"], vector["response_delay"]),
        asked(following),
        after=following["after"],
        targeted=targeted(vector["profile"]),
        shared=vector["cache"] == "shared",
    )


def asked(request):
    return HttpRequest(request["url"], request["method"], pairs(request))


def pairs(message):
    return tuple((name, value) for name, value in message["headers"])


def differences(vector):
    """What was decided otherwise than the vector says; what the vector leaves open is no difference."""
    decision, expected = decided(vector), vector["expect"]
    answers = (decision.storable, decision.heuristic_allowed, decision.explicit_lifetime, decision.age, decision.fresh)
    found = {
        name: f"{expected[name]} expected, got {answer}"
        for name, answer in zip(ASKED, answers, strict=True)
        if expected.get(name) not in {None, answer}
    }
    right = {expected["reuse"], *expected.get("accept", ())}
    if decision.reuse not in right:
        found["reuse"] = f"{' or '.join(sorted(right))} expected, got {decision.reuse} ({decision.why_reuse})"
    return found


@pytest.mark.parametrize("vector", vectors("cache_vectors.json"))
def test_a_cache_decision_is_the_one_that_the_standards_make(vector):
    """A MUST always, a SHOULD unless the reason is written above; of the rest a difference is only told.

    Nobody can have written a reason for a vector of another folder, so there a SHOULD is told as well.
    """
    found = differences(vector)
    if vector["level"] == "MUST":
        assert {} == found, vector["why"]
    elif vector["level"] == "SHOULD" and FOLDER == OURS:
        assert (vector["id"] in DEPARTURES) == bool(found), (found, vector["why"])
    elif found:
        print(f"{vector['level']} {vector['id']}: {found}")  # noqa: T201 - recorded; `pytest -rP` shows it


def test_every_decision_names_its_section():
    for parameter in vectors("cache_vectors.json"):
        decision = decided(*parameter.values)
        assert "RFC " in decision.why_storable
        assert "RFC " in decision.why_reuse


# --- What the caches say they did ---

#: The type of block that stands for a vendor where its name is another.
EDGES = {"ats": "traffic-server", "google": "google-cdn", "azurefd": "azure-front-door"}


@pytest.mark.parametrize("known", [False, True], ids=["any-edge", "this-edge"])
@pytest.mark.parametrize("vector", vectors("status_header_vectors.json"))
def test_a_status_header_says_what_its_vendor_means(vector, known):
    """Whether or not the site says which edge it has."""
    edge = EDGES.get(vector["vendor"], vector["vendor"]) if known else ""
    found = read(Exchange(Probe("http://example.test/", edge=edge), due=0, started=0, headers=pairs(vector)))
    answers = {
        "status": found.state,
        "origin_contacted": found.origin_contacted,
        "layers_edge_last": [layer.state for layer in reversed(found.layers)],
    }
    assert vector["expect"] == {name: answers[name] for name in vector["expect"]}
