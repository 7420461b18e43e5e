"""A notification block as a channel for alerts: a pager hears its key, a webhook its data, any other one the words."""

import asyncio
import inspect
import re
from collections.abc import Iterator
from typing import Any, cast

from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.types import SecretDict
from pydantic import BaseModel, Secret, SecretStr

from blocks import pagers
from blocks.apprise import Apprise
from blocks.registry import alert_fields
from blocks.webhook import OutgoingWebhook
from roundsman.alerts.rules.alert_event import AlertEvent


class BlockChannel:
    """Any notification block, as what tells people of alerts."""

    def __init__(self, block: NotificationBlock) -> None:
        self._block = block

    @property
    def secrets(self) -> Iterator[str]:
        """Every secret of the block, and the parts of those that are addresses."""
        return _secrets(self._block)

    async def notify(self, event: AlertEvent) -> None:
        """Send a message. Whatever it raises, the message was not sent."""
        block = self._block
        if isinstance(block, Apprise | OutgoingWebhook):
            await block.tell(event)
            return
        client = getattr(block, "_apprise_client", None)
        if client is not None and pagers.knows_keys(client):
            if not await asyncio.to_thread(pagers.send, client, event):
                raise NotificationError(log="it did not take the message")
            return
        if isinstance(block, CustomWebhookNotificationBlock):
            block.secrets = SecretDict({**block.secrets.get_secret_value(), **alert_fields(event)})
        elif "notify_type" in type(block).model_fields:
            cast("Any", block).notify_type = event.type
        with block.raise_on_failure():
            answer = cast("Any", block.notify)(event.body, event.subject)
            if inspect.isawaitable(answer):
                await answer


def _secrets(block: BaseModel) -> Iterator[str]:
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, Secret | SecretStr):
            for text in _texts(value.get_secret_value()):
                yield text
                yield from (part for part in re.split(r"[/:@?&=,#]+", text) if len(part) > 5)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif value is not None:
        yield str(value)
