"""What Prometheus reads: the text exposition format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from deployments.board.reader import Board, Reason
from roundsman.alerts.outbox import TargetOutbox
from roundsman.report.rules.verdict import Outcome
from roundsman.status.rules.facts import Round
from roundsman.status.rules.standing import Promises

__all__ = ["CONTENT_TYPE", "exposition"]

Sample = tuple[Mapping[str, str], float]


def exposition(board: Board, reasons: Sequence[Reason], targets: Sequence[TargetOutbox] = ()) -> bytes:
    """The board in numbers. Points in time are Unix seconds, durations seconds."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Read(one for one in _families(board, reasons, targets) if one.samples))
    return generate_latest(registry)


class _Read(Collector):
    """Metrics that were read already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _promises(board: Board) -> Iterator[GaugeMetricFamily]:
    """What is promised, first of all."""
    claims = [
        ({"site": site, "check": check, "outcome": outcome, "severity": severity}, count)
        for site, known in board.promises.items()
        for (check, outcome, severity), count in _counts(known).items()
    ]
    yield _gauge("claims", "Claims by what came out when each was looked at last.", claims)
    rounds = [
        ({"site": site, "outcome": one}, known.outcome is one)
        for site, known in board.promises.items()
        if known.outcome
        for one in Outcome
    ]
    yield _gauge("round_outcome", "The outcome of the last round is 1, and each other outcome 0.", rounds)


def _counts(known: Promises) -> dict[tuple[str, Outcome, str], int]:
    """With a zero for what does not occur, so that a rule can tell that from a series that is gone."""
    checks = sorted({check for check, _, _ in known.counts})
    return {(check, one, ""): 0 for check in checks for one in Outcome} | dict(known.counts)


def _families(board: Board, reasons: Sequence[Reason], targets: Sequence[TargetOutbox]) -> Iterator[Metric]:
    looked = [({"site": facts.site.site}, facts.looks[-1]) for facts in board.facts if facts.looks]
    timed = [(facts.site.site, facts.timed) for facts in board.facts if facts.timed]
    answers = [
        ({"site": status.site, "question": answer.question}, answer)
        for status in board.statuses
        for answer in status.answers
    ]
    families: dict[str, tuple[str, list[Sample]]] = {
        "healthy": ("Whether the ledger answers, rounds are on time and the watch passes.", [({}, not reasons)]),
        "watch_timestamp_seconds": (
            "When the last pass of the watch was.",
            [({}, board.watched_at.timestamp())] if board.watched_at else [],
        ),
        "dead_letters": (
            "Messages, purges and webhooks that are not tried any more, by the outbox that has them.",
            [
                ({"outbox": "ledger"}, board.dead_count),
                *(({"outbox": one.variable}, one.count) for one in targets if not one.problem),
            ],
        ),
        "purge_queue": (
            "Changes in the purge queue by state; those at their end until they are pruned.",
            [({"state": state}, many) for state, many in board.queued.items()],
        ),
        "purge_queue_oldest_seconds": (
            "For how long the oldest change has waited for its purge; 0 when none waits.",
            [({}, board.oldest)],
        ),
        "answer": (
            "The outcome of each question is 1, and each other outcome 0.",
            [({**labels, "outcome": one}, answer.outcome is one) for labels, answer in answers for one in Outcome],
        ),
        "answer_since_timestamp_seconds": (
            "Since when an answer stands.",
            [(labels, answer.since.timestamp()) for labels, answer in answers if answer.since],
        ),
        "up": ("Whether the last look found the site up.", [(labels, look.up) for labels, look in looked]),
        "look_timestamp_seconds": (
            "When the last look was.",
            [(labels, look.at.timestamp()) for labels, look in looked],
        ),
        "look_first_byte_seconds": (
            "Time to the first byte in the last look.",
            [(labels, look.first_byte_ms / 1000) for labels, look in looked if look.up],
        ),
        "round_timestamp_seconds": (
            "When the last round began.",
            [({"site": facts.site.site}, facts.rounds[-1].at.timestamp()) for facts in board.facts if facts.rounds],
        ),
    }
    yield from _promises(board)
    for name, (says, samples) in families.items():
        yield _gauge(name, says, samples)
    yield _latencies(timed)


def _latencies(timed: Iterable[tuple[str, Round]]) -> Metric:
    """Quantiles, which only a summary may have by the conventions of Prometheus."""
    says = "Time to the first byte by route, cache state and quantile, in the last round that measured it."
    family = Metric("roundsman_latency_seconds", says, "summary")
    for site, walked in timed:
        for one in walked.latencies:
            for quantile, ms in (("0.5", one.p50_ms), ("0.95", one.p95_ms)):
                labels = {"site": site, "path": one.path, "cache_state": one.state, "quantile": quantile}
                family.add_sample(family.name, labels, ms / 1000)
    return family


def _gauge(name: str, says: str, samples: Sequence[Sample]) -> GaugeMetricFamily:
    labels = list(samples[0][0]) if samples else []
    family = GaugeMetricFamily(f"roundsman_{name}", says, labels=labels)
    for named, value in samples:
        family.add_metric([str(named[label]) for label in labels], float(value))
    return family
