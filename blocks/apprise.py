"""Any service that Apprise knows: mail, chats, pagers, webhooks (https://github.com/caronc/apprise/wiki)."""

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

from prefect.blocks.abstract import NotificationBlock
from pydantic import SecretStr

from blocks.asking import struck_out
from blocks.pagers import send
from roundsman.alerts.rules.alert_event import AlertEvent


class AppriseError(Exception):
    """A message that Apprise did not send: what was seen, what to do. It never quotes the URL."""


class Apprise(NotificationBlock):
    """Sends a message to one Apprise URL, such as mailto://user:password@example.com or json://host/path."""

    _block_type_name = "Apprise"
    _block_type_slug = "apprise"

    url: SecretStr
    """The Apprise URL. Its scheme names the service; what else stands in it is a secret."""

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send a message.

        Raises:
            AppriseError: no service takes this URL, or the service did not take the message.
        """
        await asyncio.to_thread(self._send, lambda client: client.notify(body=body, title=subject or ""))

    async def tell(self, event: AlertEvent) -> None:
        """Send what there is to say about an alert: a pager opens and closes it, other services show how grave it is.

        Raises:
            AppriseError: as for `notify`.
            PagerError: a pager did not take it.
        """
        await asyncio.to_thread(self._send, lambda client: send(client, event))

    def _send(self, by: Callable[[Any], bool]) -> None:
        # It takes a fifth of a second to import, which every round would pay.
        import apprise  # noqa: PLC0415

        said = _CapturedLog()
        logger = logging.getLogger("apprise")
        logger.addHandler(said)
        try:
            client = apprise.Apprise()
            if not client.add(self.url.get_secret_value()):
                raise AppriseError("saw a URL that Apprise has no service for; correct `url`")
            if not by(client):
                why = self._without_secrets("; ".join(said.lines)) or "it did not say why"
                raise AppriseError(f"Apprise could not send the message: {why}")
        finally:
            logger.removeHandler(said)

    def _without_secrets(self, text: str) -> str:
        """What a service's plugin says can quote any part of the URL."""
        parts = {part for part in re.split(r"[/:@?&=,#]+", self.url.get_secret_value()) if len(part) > 3}
        return struck_out(text, parts, "...")


class _CapturedLog(logging.Handler):
    """Warnings of this thread: other messages may be under way in others."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.lines.append(record.getMessage())
