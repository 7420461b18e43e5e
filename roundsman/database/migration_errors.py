"""What went wrong, in words that hold no value of a row.

Used by `migration_child` as well, under the Python of the migrations, and so needs nothing of this project.
"""

import re
from typing import Any

#: What servers quote with, in whichever language they speak.
_QUOTE = "[\"'`\u00ab\u00bb\u2018-\u201f\u2039\u203a]"
#: After these words stands a name, and no value.
_NAMED = (
    "table|relation|column|constraint|index|sequence|view|schema|database|type|function|trigger|role|user|extension|"
    "partition|server at|socket"
)
_QUOTED = re.compile(
    rf"""\b(?:{_NAMED}) (?P<name>"[^"\n]*"|'[^'\n]*')|(?!(?<=n)'t\b){_QUOTE}(?:.*{_QUOTE}|.*)""",
    re.DOTALL | re.IGNORECASE,
)


def without_values(error: BaseException) -> str:
    """A database driver's error in one line, with names of tables and columns and without what was in them.

    What a value brings along can't be told from the text around it, so all is left out from the first quote that is
    not around a name to the last one.
    """
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    if state.startswith("P0"):  # PL/pgSQL: the words of a function, which may say anything
        return type(error).__name__
    diag: Any = getattr(error, "diag", None)
    text = (getattr(diag, "message_primary", None) or str(error)).strip()
    plain = _QUOTED.sub(lambda found: found[0] if found["name"] else "...", text)
    return plain.partition("\n")[0] or type(error).__name__
