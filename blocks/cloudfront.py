"""Amazon CloudFront, read on 2026-12-01.

https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html
https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidationForDistributionTenant.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html (paths)
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html
"""

import importlib
import logging
import re
import uuid
from collections.abc import Generator
from typing import Annotated, ClassVar
from urllib.parse import quote
from xml.sax.saxutils import escape

import httpx
from pydantic import Field, SecretStr, StringConstraints, ValidationInfo, field_validator

from blocks.asking import target_of
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import Blind, By, Order, PurgeError, Rate, Tags

#: Codes of an answer of 400 that is about how much was asked, and not about what.
#: https://docs.aws.amazon.com/cloudfront/latest/APIReference/CommonErrors.html
_BUSY = frozenset({"TooManyInvalidationsInProgress", "Throttling", "ThrottlingException"})
#: What RFC 1738 section 2.2 calls unsafe and a path may hold all the same; `%` only where nothing is encoded by it.
_UNSAFE = re.compile(r"""%(?![0-9A-Fa-f]{2})|[<>"{}|\\^~\[\]`]""")
_NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"


class CloudFront(Edge):
    """CloudFront: one API for all its nodes. Leave `nodes` empty; needs the extra `cloudfront`.

    A path goes from every host of the distribution, with all its variants. A key is a cache tag, which the
    distribution has to be set up for. The keys need cloudfront:CreateInvalidation and cloudfront:GetInvalidation; for
    the tenant of a multi-tenant distribution they need the actions that end in ForDistributionTenant.
    """

    _block_type_name = "CloudFront"
    _block_type_slug = "cloudfront"

    # 3000 may be under way at once; so one request leaves room for others.
    limits: ClassVar[dict[By, int]] = {By.URL: 1000, By.KEY: 1000, By.EVERYTHING: 1}
    settles_within: ClassVar[float] = 900.0
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.HOST, Blind.SCHEME})
    once: ClassVar[bool] = True
    tags: ClassVar[Tags] = Tags("CloudFront", 256, r"[\x21-\x2b\x2d-\x7e]", "visible ASCII without a comma")
    see: ClassVar[str] = "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Invalidation.html"

    distribution: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]*$")] = ""
    """The distribution's ID, such as EDFDVBD6EXAMPLE."""
    distribution_tenant: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$"), Field(validate_default=True)
    ] = ""
    """The ID of a distribution tenant, such as dt_2wjDZi3hD1ivOXf6rpZJOSNE1AB, instead of a distribution."""
    access_key_id: SecretStr
    secret_access_key: SecretStr
    session_token: SecretStr | None = None
    """Of temporary credentials."""
    api: Api = "https://cloudfront.amazonaws.com"

    @field_validator("distribution_tenant")
    @classmethod
    def _one_place(cls, tenant: str, info: ValidationInfo) -> str:
        if "distribution" in info.data and bool(tenant) == bool(info.data["distribution"]):
            raise ValueError("wanted exactly one of distribution and distribution_tenant")
        return tenant

    def request(self, order: Order) -> httpx.Request:
        """Spell POST invalidation; the same order's key and paths once more give the invalidation that is there."""
        paths = ["/*"]
        if order.by is not By.EVERYTHING:
            # Two spellings of a path may become one.
            paths = list(dict.fromkeys(self._path(item, order.by) for item in order.items))
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="{_NAMESPACE}">'
            f"<CallerReference>{escape(order.key or uuid.uuid4().hex)}</CallerReference>"
            f"<Paths><Items>{''.join(f'<Path>{escape(path)}</Path>' for path in paths)}</Items>"
            f"<Quantity>{len(paths)}</Quantity></Paths></InvalidationBatch>"
        )
        return httpx.Request("POST", self._at, content=body.encode(), headers={"Content-Type": "text/xml"})

    def auth(self) -> httpx.Auth:
        """Sign with SigV4."""
        token = self.session_token.get_secret_value() if self.session_token else None
        return SigV4(self.access_key_id.get_secret_value(), self.secret_access_key.get_secret_value(), token)

    def ticket(self, response: httpx.Response) -> str:
        """The invalidation's ID."""
        return _element(response, "Id")

    def question(self, ticket: str) -> httpx.Request:
        """Spell GET for the invalidation."""
        return httpx.Request("GET", f"{self._at}/{ticket}")

    def finished(self, response: httpx.Response) -> bool:
        """Its `Status`."""
        return _element(response, "Status") == "Completed"

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """An answer that names no invalidation is none of CloudFront's."""
        if re.fullmatch(r"[A-Za-z0-9]+", _element(response, "Id")):
            return None
        return "the answer is not CloudFront's XML; check the address of the API"

    def later(self, response: httpx.Response) -> bool:
        """It says 400 where others say 429."""
        return super().later(response) or (response.status_code == 400 and _element(response, "Code") in _BUSY)

    def rates(self) -> tuple[Rate, ...]:
        """Paths under way at once, for a distribution; how fast they come back is not said."""
        see = "https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html"
        return (Rate("items", 3000 / self.settles_within, 3000, see),)

    @property
    def _at(self) -> str:
        tenant = self.distribution_tenant
        where = f"distribution-tenant/{tenant}" if tenant else f"distribution/{self.distribution}"
        return f"{self.api}/2020-05-31/{where}/invalidation"

    def _path(self, item: str, by: By) -> str:
        """A tag, or a path as CloudFront takes it; one path that it does not take has all others refused."""
        if by is By.KEY:
            return f"#{item}"
        # `quote` leaves a tilde as it is.
        return _UNSAFE.sub(lambda found: quote(found[0], safe="").replace("~", "%7E"), target_of(item))


class SigV4(httpx.Auth):
    """Signs with botocore, for CloudFront."""

    requires_request_body = True

    def __init__(self, key_id: str, secret: str, token: str | None) -> None:
        try:
            self._auth = importlib.import_module("botocore.auth")
            self._request = importlib.import_module("botocore.awsrequest").AWSRequest
            credentials = importlib.import_module("botocore.credentials").Credentials(key_id, secret, token)
        except ImportError:
            says = "CloudFront was not asked: no botocore to sign with; install roundsman[cloudfront]"
            raise PurgeError(says, permanent=True) from None
        # It would log what it signs, a session's token among it.
        logging.getLogger("botocore.auth").setLevel(logging.WARNING)
        self._signer = self._auth.SigV4Auth(credentials, "cloudfront", "us-east-1")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add X-Amz-Date, Authorization and, where there is one, the session's token."""
        headers = {"Content-Type": "text/xml"} if request.content else {}
        signed = self._request(request.method, str(request.url), headers=headers, data=request.content)
        self._signer.add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


def _element(response: httpx.Response, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", response.text)
    return found[1] if found else ""
