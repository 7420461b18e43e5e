"""A dry run: the same code, and every transaction is rolled back. Nothing is written, not even that it was made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from roundsman.batch.attempt import Batch, sort
from roundsman.batch.chunks import Bad, Writer
from roundsman.batch.errors import LimitError
from roundsman.batch.jobs import Job
from roundsman.batch.rules import Applied, Change


@dataclass
class DryRun:
    """What a job would do, chunk by chunk, each rolled back: it does not see what earlier chunks would have done."""

    batch: Batch
    most: int = 20
    """Differences that are kept, of each kind."""
    position: int = 0
    cursor: str = ""
    chunks: int = 0
    changed: int = 0
    unchanged: int = 0
    changes: list[Change] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    """The first bad rows; `quarantined` counts all of them."""
    quarantined: int = 0
    outgoing: int = 0

    def step(self) -> bool:
        """Try the next chunk; False when the source is at its end.

        Raises:
            LimitError: there are more bad rows than there may be.
        """
        batch = self.batch
        chunk = batch.source.read(self.cursor, batch.chunk)
        writer = Writer(batch.target, batch.apply, batch.limits, batch.lease, batch.patience, keep=False)
        if chunk.rows:
            # Of a job it only needs to know how far it is.
            applied, bad = writer.write(cast("Job", self), sort(chunk, self.position, batch.parse))
            self._count(applied, bad)
            self.position, self.cursor, self.chunks = self.position + len(chunk.rows), chunk.cursor, self.chunks + 1
        ended = chunk.ended or not chunk.rows
        if broken := batch.limits.broken(self.quarantined, self.position, ended=ended):
            first = f"; the first, row {self.bad[0].position}: {self.bad[0].error_class}" if self.bad else ""
            raise LimitError(f"{broken}{first}")
        return not ended

    def _count(self, applied: Applied, bad: Sequence[Bad]) -> None:
        self.changed, self.unchanged = self.changed + applied.changed, self.unchanged + applied.unchanged
        self.quarantined, self.outgoing = self.quarantined + len(bad), self.outgoing + len(applied.outbox)
        self.changes += applied.changes[: self.most - len(self.changes)]
        self.bad += bad[: self.most - len(self.bad)]
