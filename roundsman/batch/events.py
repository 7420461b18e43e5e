"""What is told of a job while it runs: a line in the log for each event, and on demand a line of JSON.

Nothing of a row is ever in it: positions and classes of errors only.
"""

import json
import logging
import os
import sys
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("roundsman.batch")
log.setLevel(logging.INFO)  # a worker's root logger would drop what an operator follows

#: `ROUNDSMAN_EVENTS=json` writes each event to standard error as one line of JSON as well.
VARIABLE = "ROUNDSMAN_EVENTS"


@dataclass(frozen=True, slots=True)
class Teller:
    """Whose events they are."""

    kind: str
    run_id: str
    job: int = 0
    job_key: str = ""

    def __call__(self, event: str, **facts: Any) -> None:
        """Tell of an event."""
        who = f"{self.kind}: job {self.job}" if self.job else self.kind
        told = "".join(f", {name} {value}" for name, value in facts.items())
        log.info("%s: %s%s (run %s, key %s)", who, event, told, self.run_id or "-", self.job_key[:16] or "-")
        if os.environ.get(VARIABLE) == "json":
            whose = {"kind": self.kind, "run": self.run_id, "job": self.job, "job_key": self.job_key}
            sys.stderr.write(json.dumps({"event": event, **whose, **facts}, default=str) + "\n")
