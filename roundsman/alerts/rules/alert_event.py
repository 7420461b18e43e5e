"""A message about an alert as data, for services that keep an alert open until it is closed."""

from dataclasses import dataclass

#: Apprise's types of message, by severity.
_TYPES = {"critical": "failure", "error": "failure", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """A message about an alert: whether it is open, how grave it is, and the key that it keeps."""

    key: str
    subject: str
    body: str
    is_resolved: bool = False
    severity: str = "error"
    """critical, error or warning."""
    source: str = "roundsman"
    """What it is about, such as the name of a site."""

    @property
    def status(self) -> str:
        """`firing` or `resolved`."""
        return "resolved" if self.is_resolved else "firing"

    @property
    def type(self) -> str:
        """Apprise's type of message."""
        return "success" if self.is_resolved else _TYPES[self.severity]

    def fields(self) -> dict[str, str]:
        """All of it by name, for a receiver that reads data."""
        state = {"status": self.status, "severity": self.severity, "key": self.key, "source": self.source}
        return state | {"subject": self.subject, "body": self.body}
