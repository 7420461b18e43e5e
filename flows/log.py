"""Log lines of this process: no secret is in them, and a terminal or a CI system obeys none of them.

Guarded is the record itself, so that it holds for each logger and each handler: the terminal, a file, Prefect's server.
"""

import logging
import traceback
from typing import Any

from roundsman.report.rules.text import for_terminal, hidden, hosts_only

#: Loggers whose addresses are ours to show. Others tell of whole requests, and a webhook's token stands in its path.
_OWN = ("roundsman", "prefect", "uvicorn")


class SafeRecordFactory:
    """Makes log records by another factory, and then safe."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **how: Any) -> logging.LogRecord:
        """A record whose message and traceback are safe."""
        record: logging.LogRecord = self._make(*args, **how)
        own = str(record.name).partition(".")[0] in _OWN
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001 - whoever handles the record reports its wrong arguments, as ever
            return record
        shown = _safe(said, own=own)
        if shown != said:
            # Some formatters look into the arguments, such as uvicorn's for its access log.
            arguments = record.args if isinstance(record.args, tuple) else ()
            parts = tuple(_safe(one, own=own) if isinstance(one, str) else one for one in arguments)
            record.args = parts
            if not parts or (record.getMessage() != shown and not str(record.name).startswith("uvicorn")):
                record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = _safe("".join(traceback.format_exception(*record.exc_info)).rstrip(), own=own)
        return record


def guard() -> None:
    """Guard all log records that are made from now on."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, SafeRecordFactory):
        logging.setLogRecordFactory(SafeRecordFactory(make))


def _safe(text: str, *, own: bool) -> str:
    return for_terminal(hidden(text if own else hosts_only(text)), "\n\t")
