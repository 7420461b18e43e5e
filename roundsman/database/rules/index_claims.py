"""What should hold of indexes, keys and statistics, and the words in which it is told."""

from dataclasses import dataclass

from roundsman.report.rules.verdict import Claim, Finding, Outcome

CHECK = "indexes"
_CREATE = "PostgreSQL, CREATE INDEX, Building Indexes Concurrently"
_WARN = Outcome.WARN

FOREIGN = Claim(f"{CHECK}/db101-foreign-key", "Every foreign key has an index.", "PostgreSQL, Foreign Keys")
QUIET_FOREIGN = Claim(FOREIGN.id, FOREIGN.says, FOREIGN.see, breach=_WARN)
DUPLICATE = Claim(f"{CHECK}/db102-duplicate", "No index is there twice.", breach=_WARN)
PREFIX = Claim(f"{CHECK}/db103-prefix", "No index is the beginning of another one.", breach=_WARN)
UNUSED = Claim(f"{CHECK}/db104-unused", "Every index is used.", "PostgreSQL, pg_stat_all_indexes", breach=_WARN)
INVALID = Claim(f"{CHECK}/db105-invalid", "No index is left over from one that failed to be built.", _CREATE)
BLOAT = Claim(f"{CHECK}/db106-bloat", "Tables and indexes hold little waste.", breach=_WARN)
UNPROVEN = Claim(
    f"{CHECK}/db107-not-valid", "Every constraint holds for old rows too.", "PostgreSQL, ALTER TABLE", breach=_WARN
)
USED_UP = Claim(f"{CHECK}/db108-used-up", "No key and no sequence is about to run out of numbers.")
NO_KEY = Claim(f"{CHECK}/db109-primary-key", "Every table has a primary key.", breach=_WARN)
TYPES = Claim(f"{CHECK}/db110-key-types", "A foreign key has the type of what it refers to.", breach=_WARN)
STATISTICS = Claim(
    f"{CHECK}/db111-statistics", "The planner knows the tables as they are.", "PostgreSQL, ANALYZE", breach=_WARN
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A claim that does not hold of a table: what was seen, the statement that would mend it, and what that costs."""

    claim: Claim
    table: str
    name: str
    """Of the index, constraint, sequence or table; what a database file may accept."""
    saw: str
    mend: str
    cost: str

    def finding(self) -> Finding:
        """The fault as a finding; its mend and cost are what is wanted."""
        return self.claim.against(self.saw, f"{self.mend}; cost: {self.cost}", holds=False)


def size(count: float) -> str:
    """Bytes as people say them: 800 kB, 12 MB, 3.4 GB."""
    for unit, room in (("GB", 2**30), ("MB", 2**20)):
        if count >= room:
            return f"{count / room:.1f} {unit}" if count < 10 * room else f"{count / room:.0f} {unit}"
    return f"{count / 1024:.0f} kB"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
