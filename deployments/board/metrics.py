"""What Prometheus reads: the text exposition format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Mapping, Sequence

from deployments.board.reader import Board, Reason
from flows.rules.verdict import Outcome
from flows.tasks.targets import Letters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


def exposition(board: Board, reasons: Sequence[Reason], targets: Sequence[Letters] = ()) -> str:
    """The board as gauges. Points in time are Unix seconds, durations seconds."""
    looked = [({"site": facts.site.site}, facts.looks[-1]) for facts in board.facts if facts.looks]
    timed = [(facts.site.site, facts.timed) for facts in board.facts if facts.timed]
    answers = [({"site": one.site, "question": told.question}, told) for one in board.statuses for told in one.answers]
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
            [({**labels, "outcome": one}, told.outcome is one) for labels, told in answers for one in Outcome],
        ),
        "answer_since_timestamp_seconds": (
            "Since when an answer stands.",
            [(labels, told.since.timestamp()) for labels, told in answers if told.since],
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
        "latency_seconds": (
            "Time to the first byte by route, cache state and quantile, in the last round that measured it.",
            [
                ({"site": site, "path": one.path, "cache_state": one.state, "quantile": quantile}, ms / 1000)
                for site, walked in timed
                for one in walked.latencies
                for quantile, ms in (("0.5", one.p50_ms), ("0.95", one.p95_ms))
            ],
        ),
    }
    return "".join(_family(f"roundsman_{name}", *family) for name, family in families.items() if family[1])


def _family(name: str, says: str, samples: Sequence[Sample]) -> str:
    lines = [f"# HELP {name} {says}", f"# TYPE {name} gauge"]
    lines += [f"{name}{_labels(labels)} {float(value)!r}" for labels, value in samples]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
