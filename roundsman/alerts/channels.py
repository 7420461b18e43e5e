"""How a message of the outbox leaves: words to people by a channel, a purge by an edge, a webhook by POST.

What sends is found by its name, as `Outlets` says; so nothing here knows what kinds of channel there are.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from roundsman.alerts.rules.alert import IncidentLevel, MessageKind
from roundsman.alerts.rules.alert_event import AlertEvent
from roundsman.ledger.rules.delivery import PURGE, WEBHOOK, DeliveryFailure
from roundsman.ledger.tables import OutboxRow
from roundsman.report.rules.text import clipped, scrubbed
from roundsman.site.rules.site import Site

#: For sending one message, and for a purge, which asks every node. Both are well below the lease.
SEND_SECONDS, PURGE_SECONDS = 15.0, 40.0


class Channel(Protocol):
    """What tells people."""

    @property
    def secrets(self) -> Iterable[str]:
        """Every text that no error may quote."""

    async def notify(self, event: AlertEvent) -> None:
        """Send a message. Whatever it raises, the message was not sent."""


class Webhook(Protocol):
    """An address at which machines hear of things."""

    async def post(self, body: str, key: str) -> None:
        """Post a text. A repeat carries the same key, so that the other side can tell."""


class Outlets(Protocol):
    """Finds what sends a message by the name that a site file gives it.

    An error may say by `permanent` that the same message would be refused again, by `denied` that it is until a
    credential is corrected, and by `retry_after` how many seconds to wait.
    """

    async def channel(self, site: Site | None, name: str) -> Channel:
        """What tells people. Without a site it may be any site's that declares it."""

    async def webhook(self, site: Site | None, name: str) -> Webhook:
        """What posts."""

    async def purge(self, site: Site | None, row: OutboxRow) -> None:
        """Have the edge that is the row's channel drop what the row's body names.

        Raises:
            ValueError: the body names no purge, or one that this edge will never be able to do.
        """


async def send(outlets: Outlets, site: Site | None, row: OutboxRow, level: str = "") -> DeliveryFailure | None:
    """Send a message, by its kind. Returns None when it was sent, else what went wrong, without secrets.

    `level` says how grave the incident is that it tells of: critical, error or warning.
    """
    secrets: list[str] = []
    seconds = PURGE_SECONDS if row.kind == PURGE else SEND_SECONDS
    try:
        async with asyncio.timeout(seconds):
            if row.kind == PURGE:
                await outlets.purge(site, row)
            elif row.kind == WEBHOOK:
                await (await outlets.webhook(site, row.channel)).post(row.body, row.dedup_key)
            else:
                channel = await outlets.channel(site, row.channel)
                secrets += channel.secrets
                await channel.notify(_event(row, level))
    except TimeoutError:
        return DeliveryFailure(f"no end after {seconds:g}s")
    except Exception as error:  # noqa: BLE001 - a channel may raise whatever it likes; it is kept with the message
        message = str(error) or str(getattr(error, "log", ""))  # Prefect's own hides its words there
        return DeliveryFailure(
            clipped(f"{type(error).__name__}: {scrubbed(message, secrets)}"),
            permanent=_is_permanent(row, error),
            wait=getattr(error, "retry_after", None) or 0.0,
        )
    return None


def _event(row: OutboxRow, level: str) -> AlertEvent:
    is_resolved, source = row.kind == MessageKind.RESOLVED, row.site or "roundsman"
    return AlertEvent(row.dedup_key, row.subject, row.body, is_resolved, level or IncidentLevel.ERROR, source)


def _is_permanent(row: OutboxRow, error: Exception) -> bool:
    """Whether the message itself is wrong; a site file, a block or a credential can be corrected."""
    is_unreadable = row.kind == PURGE and isinstance(error, ValueError)
    return bool(getattr(error, "permanent", is_unreadable)) and not getattr(error, "denied", False)
