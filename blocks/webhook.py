"""An address at which machines hear of things, by POST."""

import asyncio
import hashlib
import json
from typing import Any, ClassVar

import httpx
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block, schema_extra
from pydantic import ConfigDict, Field, SecretStr

from blocks.asking import DENIED, bounded, retry_after
from blocks.pagers import NotTakenError
from roundsman.alerts.rules.alert_event import AlertEvent

#: Seconds for one whole request.
REQUEST_TIMEOUT_SECONDS = 10.0
#: Bytes of an answer that are read; only its status counts.
MAX_ANSWER_BYTES = 4096


class WebhookError(NotTakenError):
    """A message that the address did not take."""


def _hide_inner(schema: dict[str, Any], kind: type[Block]) -> None:
    """Mark each header as secret. Prefect itself marks the mapping only, and then shows its values."""
    schema_extra(schema, kind)
    schema["secret_fields"] = ["headers.*" if name == "headers" else name for name in schema["secret_fields"]]


class OutgoingWebhook(NotificationBlock):
    """Posts a text to one address; whoever answers there knows a repeated message by its `Idempotency-Key`.

    As a channel for people it posts JSON: `status` (firing or resolved), `severity` (critical, error or warning),
    `key`, which is the same from firing to resolved, `source`, which is the site's name, `subject` and `body`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=_hide_inner)

    _block_type_name = "Outgoing Webhook"
    _block_type_slug = "outgoing-webhook"

    url: SecretStr
    """The address; a token is often a part of it, so all of it is a secret."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Headers to send along, such as Authorization."""
    content_type: str = "application/json"

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send a message without an alert behind it; WebhookError as for `post`."""
        text = json.dumps({"subject": subject or "", "body": body})
        await self.post(text, hashlib.sha256(text.encode()).hexdigest())

    async def tell(self, event: AlertEvent) -> None:
        """Send what there is to say about an alert; WebhookError as for `post`."""
        text = json.dumps(event.fields())
        await self.post(text, f"{event.key} {hashlib.sha256(text.encode()).hexdigest()[:16]}")

    async def post(self, body: str, key: str) -> None:
        """Send a text. Redirects are not followed.

        Raises:
            WebhookError: no answer, or another one than 2xx.
        """
        own = {"User-Agent": "roundsman", "Content-Type": self.content_type, "Idempotency-Key": key}
        try:
            headers = {name: secret.get_secret_value() for name, secret in self.headers.items()} | own
            request = httpx.Request("POST", self.url.get_secret_value(), content=body.encode(), headers=headers)
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_SECONDS),
                httpx.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS) as client,
            ):
                response = await bounded(await client.send(request, stream=True), MAX_ANSWER_BYTES)
        except (UnicodeEncodeError, httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol):
            # Once the block is mended the message can be sent, so it is not dead by this. What is wrong is a secret.
            raise WebhookError("saw an address or a header that can't be used; correct the block's settings") from None
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise WebhookError(f"saw no answer ({type(error).__name__}), wanted 2xx") from None
        if not response.is_success:
            status = response.status_code
            later = status in {408, 425, 429} or status >= 500
            raise WebhookError(
                f"it answered {status}, wanted 2xx",
                permanent=not later,
                denied=status in DENIED,
                retry_after=retry_after(response.headers),
            )
