"""What somebody may have meant by a word that is not known."""

import difflib
from collections.abc import Iterable

#: How much less like the word a second one may be than the first.
_BEHIND = 0.15


def nearest(word: str, known: Iterable[str], most: int = 2) -> list[str]:
    """The known words that a word may be a misspelling, or the beginning, of; the likeliest first, `most` at most."""
    by_fold = {one.casefold(): one for one in known}
    folded = word.casefold()
    likeness = {one: difflib.SequenceMatcher(None, one, folded).ratio() for one in by_fold}
    begun = [one for one in by_fold if len(folded) > 1 and one.startswith(folded)]
    near = difflib.get_close_matches(folded, by_fold, most, 0.6)
    found = list(dict.fromkeys([*begun, *near]))
    return [by_fold[one] for one in found if likeness[one] > likeness[found[0]] - _BEHIND][:most]


def did_you_mean(word: str, known: Iterable[str], most: int = 2) -> str:
    """The same as a question, such as `did you mean inspect?`; empty when nothing is near."""
    return f"did you mean {' or '.join(near)}?" if (near := nearest(word, known, most)) else ""
