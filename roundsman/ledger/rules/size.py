"""How large a ledger may become before it should move to PostgreSQL."""

#: Bytes up to which an SQLite file is a comfortable ledger. Measured by `python -m benchmarks ledger`, in the memory of
#: a machine of 23 GB: from 0.1 to 7.7 GB a status takes 0.02 to 0.04 s and a round 25 to 52 ms, and the nightly pass
#: grows by 8 s for each GB, in which others wait a third of a second at a time, at most. The number is two thirds of
#: the largest file measured, so that it is told while there is time to move.
COMFORT_BYTES = 5_000_000_000
#: Part of README.md that says how to move.
_HOW = 'move to PostgreSQL: see "From SQLite to PostgreSQL" in README.md'


def crowded(size: int) -> str:
    """What an operator should know of an SQLite ledger of so many bytes; empty while it is comfortable."""
    if size <= COMFORT_BYTES:
        return ""
    return f"the ledger has {size / 1e9:.1f} GB; SQLite is comfortable up to {COMFORT_BYTES / 1e9:g} GB; {_HOW}"
