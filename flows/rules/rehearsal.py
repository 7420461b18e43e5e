from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One rollback that was tried before it was needed: from which version back to which, and in how many seconds."""

    ok: bool
    seconds: float
    from_version: str
    to_version: str
    finished_at: datetime
