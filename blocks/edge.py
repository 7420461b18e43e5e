"""What every edge shares: batching, sending, and saying no. A vendor only spells its requests."""

import asyncio
import logging
import re
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import Annotated, Any, ClassVar

import httpx
from prefect.blocks.core import Block
from pydantic import AfterValidator, Field, StringConstraints

from blocks.access_token import TokenSource
from blocks.asking import DENIED, bounded, remedy, retry_after, secrets_in, struck_out, too_wide
from roundsman.purge.rules.order import Blind, By, Order, Powers, PurgeError, Rate, Receipt, Settling, Tags, folded

log = logging.getLogger("roundsman")

#: Seconds for one whole purge request; a node that needs longer is in trouble. No longer is waited before a 429 either.
PURGE_TIMEOUT_SECONDS = 10.0

#: What of this was never sent, so that it can be sent again.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", text):
        raise ValueError("wanted scheme and host of a node without a path, such as http://127.0.0.1:6081")
    return text.rstrip("/")


#: The address of one node, such as http://127.0.0.1:6081.
Address = Annotated[str, AfterValidator(_address)]
#: The address of a vendor's API, without a slash at its end.
Api = Annotated[str, StringConstraints(pattern=r"^https?://\S+[^\s/]$")]


class Edge(Block):
    """A CDN or reverse proxy that can be told to drop a stored copy."""

    limits: ClassVar[dict[By, int]]
    """What it can purge by, and how many in one request."""
    tags: ClassVar[Tags | None] = None
    """Which surrogate keys the vendor takes; None when it documents no rule."""
    soft_by: ClassVar[frozenset[By]] = frozenset()
    """What of this it can purge softly: the copy becomes stale, and is not gone."""
    most_bytes: ClassVar[int] = 0
    """Bytes of items that one request may carry; 0 when only their number counts."""
    most: ClassVar[int] = 65_536
    """Bytes of an answer that are read; a purge has little to say."""
    absent: ClassVar[frozenset[int]] = frozenset()
    """The statuses that mean that this cache held no copy."""
    settles_within: ClassVar[float] = 0.0
    """Seconds after the answer until every node has done it; 0 when the answer itself means that it is done."""
    one_variant: ClassVar[bool] = False
    """Whether one purge drops only the variant that its headers select."""
    refills: ClassVar[bool] = False
    """Whether a purge puts a new copy in the place of the old one, so that none is ever missing."""
    blind: ClassVar[frozenset[Blind]] = frozenset()
    """What it does not tell apart: copies that differ only in this go as well."""
    once: ClassVar[bool] = False
    """Whether the vendor itself does an order with the same key only once."""
    see: ClassVar[str] = ""
    """The vendor's page about purging."""
    assumed: ClassVar[dict[str, Any]] = {}
    """Settings that nobody knows of a block that is kept in Prefect, as those that can the most."""

    nodes: list[Address] = Field(default_factory=list)
    """Addresses of all its nodes, such as http://127.0.0.1:6081; when empty, the URL's own host is asked."""
    shields: list[Address] = Field(default_factory=list)
    """Addresses of nodes that stand between these and the origin; they are purged first."""

    def within(self) -> Mapping[By, int]:
        """What this block can purge by, and how many in one request: `limits`, unless its settings change them."""
        return self.limits

    def blindness(self) -> frozenset[Blind]:
        """What this block does not tell apart: `blind`, unless its settings change it."""
        return self.blind

    def instead(self, by: By) -> str:  # noqa: ARG002 - a hook; most have nothing to add
        """What to do where it can't purge by this kind, beside naming another kind; empty when there is nothing."""
        return ""

    @abstractmethod
    def request(self, order: Order) -> httpx.Request:
        """Spell one request: at most `within()[by]` checked items, for one of `nodes`, or for "" where it has none."""

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - most say it by status
        """Say why an answer with a good status is a refusal all the same; None when it is not."""
        return None

    def later(self, response: httpx.Response) -> bool:
        """Whether the same request may be taken later."""
        return response.status_code in {408, 425, 429} or response.status_code >= 500

    def held_none(self, response: httpx.Response, order: Order) -> bool:  # noqa: ARG002 - most say it by status
        """Whether an answer means that there was no copy."""
        return response.status_code in self.absent

    def wait_of(self, response: httpx.Response) -> float | None:
        """Seconds to wait after an answer that means "later"; None when nobody says."""
        return retry_after(response.headers)

    def too_wide(self, item: str, by: By) -> str | None:
        """What should stand in place of an item that could drop more than it says, or that the vendor does not take.

        None when it is exact.
        """
        return too_wide(item, by) or (self.tags.wanted(item) if self.tags and by is By.KEY else None)

    def together(self, item: str, by: By) -> str:  # noqa: ARG002 - a hook; most take any items in one request
        """Items with different answers never share a request."""
        return ""

    def reminder(self, order: Order) -> httpx.Request | None:  # noqa: ARG002 - a hook; most find every copy
        """Spell what lets the cache find its other variants once one is dropped; None where it finds them anyway."""
        return None

    def auth(self) -> httpx.Auth | None:
        """What signs the spelled request; None when the request carries its token itself."""
        return None

    def token_source(self) -> TokenSource | None:
        """Where access tokens come from that end after a while; None when the request carries all it needs."""
        return None

    def rates(self) -> tuple[Rate, ...]:
        """How often it may be asked; empty for one's own caches."""
        return ()

    def ticket(self, response: httpx.Response) -> str:  # noqa: ARG002 - a hook; most have nothing to ask about
        """What a later question about this purge names; empty when there is none."""
        return ""

    def question(self, ticket: str) -> httpx.Request:
        """Spell the question whether a purge is done."""
        raise NotImplementedError

    def finished(self, response: httpx.Response) -> bool:
        """Read the answer to the question; PurgeError when the purge failed."""
        raise NotImplementedError

    def radius(self, url: str) -> Callable[[str], bool]:
        """Which URLs lose their copy when this one is purged, itself among them."""
        blind = self.blindness()
        mine = folded(url, blind)
        return lambda other: folded(other, blind) == mine

    def powers(self, name: str) -> Powers:
        """What it can, under the name by which a site knows it."""
        return Powers(
            name=name,
            kind=self.get_block_type_name(),
            limits=self.within(),
            soft=self.soft_by,
            blind=self.blindness(),
            one_variant=self.one_variant,
            refills=self.refills,
            settles_within=self.settles_within,
            once=self.once,
            shields=tuple(dict.fromkeys(self.shields)),
            nodes=tuple(dict.fromkeys(self.nodes)),
            radius=self.radius,
            batches=self.batches,
            too_wide=self.too_wide,
            instead=self.instead,
        )

    async def purge(
        self,
        items: Iterable[str],
        by: By = By.URL,
        client: httpx.AsyncClient | None = None,
        *,
        soft: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> list[Receipt]:
        """Drop the copies of some items on every node, shields first. A client that is handed in stays open.

        A node in trouble does not keep the others from being asked. `headers` are an `Order`'s.

        Raises:
            ValueError: No items, or an item that is not exactly one thing; nothing was sent.
            TypeError: One string in place of a list of them.
            PurgeError: The edge cannot do this, refused it, or could not be reached.
        """
        batches = self.batches(items, by)
        key = uuid.uuid4().hex
        receipts: list[Receipt] = []
        errors: list[PurgeError] = []
        async with nullcontext(client) if client else httpx.AsyncClient() as sender:
            for node in dict.fromkeys([*self.shields, *(self.nodes or [""])]):
                try:
                    for place, batch in enumerate(batches):
                        order = Order(by, batch, node, soft=soft, headers=headers, key=f"{key}-{place}")
                        receipts.append(await self.send(order, sender))
                except PurgeError as error:
                    errors.append(error)
        if errors:
            raise PurgeError.of(errors, receipts)
        return receipts

    def batches(self, items: Iterable[str], by: By = By.URL) -> list[tuple[str, ...]]:
        """Check some items and divide them into requests; ValueError, TypeError and PurgeError as for `purge`."""
        groups: dict[str, list[list[str]]] = {}
        sizes: dict[str, int] = {}
        most = self.within()
        for item in self._checked(items, by):
            group = self.together(item, by)
            batches = groups.setdefault(group, [[]])
            # Each item has its quotes, comma or tags around it.
            size = len(item.encode()) + 24
            together = sizes.get(group, 0) + size
            if len(batches[-1]) == most[by] or (self.most_bytes and batches[-1] and together > self.most_bytes):
                batches.append([])
                together = size
            sizes[group] = together
            batches[-1].append(item)
        return [tuple(batch) for batches in groups.values() for batch in batches]

    async def send(self, order: Order, client: httpx.AsyncClient, *, patient: bool = True) -> Receipt:
        """Send one order; ValueError, TypeError and PurgeError as for `purge`. `patient`: a 429 is waited for once."""
        self._checked(order.items, order.by)
        name = self.get_block_type_name()
        if order.soft and order.by not in self.soft_by:
            can = f"by {', '.join(self.soft_by)}" if self.soft_by else "not at all"
            raise PurgeError(f"{name} cannot purge softly by {order.by}; it can {can}", permanent=True)
        try:
            request = self.request(order)
            started = time.perf_counter()
            response = await self._answer(request, client)
        except UnicodeEncodeError:  # of what is spelled, or of what signs it
            raise self._unspeakable(order) from None
        except httpx.InvalidURL as trouble:
            raise PurgeError(f"{name} can't be asked by this address ({trouble}); correct it", permanent=True) from None
        wait = retry_after(response.headers)
        if patient and response.status_code == 429 and wait is not None and wait <= PURGE_TIMEOUT_SECONDS:
            # A 429 was not done, so it may be sent again; a second one is told.
            await asyncio.sleep(wait)
            response = await self._answer(self.request(order), client)
        seconds = time.perf_counter() - started
        asked = _origin(request)
        answer = self._hidden(response.text or response.reason_phrase, request)[:200]
        if self.held_none(response, order):
            return Receipt(asked, order.items, response.status_code, seconds, absent=True, answer=answer)
        if not response.is_success:
            raise self._failure(response, asked, answer)
        if refusal := self.refused(response, order):
            says = f"{name} at {asked} refused the purge with status {response.status_code}"
            raise PurgeError(f"{says}: {self._hidden(refusal, request)}", permanent=True)
        ticket = self.ticket(response)
        return Receipt(asked, order.items, response.status_code, seconds, absent=False, answer=answer, ticket=ticket)

    async def remind(self, order: Order, client: httpx.AsyncClient) -> bool:
        """Let the cache find its other variants again; whether there may be any, as far as the page itself says."""
        if request := self.reminder(order):
            with suppress(PurgeError):
                response = await self._answer(request, client)
                return not response.is_success or "vary" in response.headers
        return True

    async def settled(self, receipt: Receipt, client: httpx.AsyncClient) -> bool | None:
        """Ask once whether a purge is done on every node, as `settling` does, for those who only need its `done`."""
        return (await self.settling(receipt, client)).done

    async def settling(self, receipt: Receipt, client: httpx.AsyncClient) -> Settling:
        """Ask once how far an accepted purge is.

        Only the operation itself can say that the purge failed. A question that nobody answers, or that means "later",
        is no news of it, and one that is refused leaves nothing but to wait for as long as the vendor promises.

        Raises:
            PurgeError: The purge failed after all.
        """
        if not receipt.ticket:
            return Settling(done=None if self.settles_within else True)
        try:
            response = await self._answer(self.question(receipt.ticket), client)
        except PurgeError as error:
            return self._unanswered(str(error), permanent=error.permanent, wait=error.retry_after)
        if self.later(response):
            return Settling(done=False, heard=False, wait=self.wait_of(response) or 0.0)
        if not response.is_success:
            said = f"{self.get_block_type_name()} answered {response.status_code}"
            return self._unanswered(said, permanent=True, wait=None)
        return Settling(done=self.finished(response))

    def _unanswered(self, why: str, *, permanent: bool, wait: float | None) -> Settling:
        if not permanent:
            return Settling(done=False, heard=False, wait=wait or 0.0)
        log.warning("the purge was accepted, and whether it is done can't be asked: %s", why)
        return Settling(done=None, heard=False)

    def _checked(self, items: Iterable[str], by: By) -> tuple[str, ...]:
        name = self.get_block_type_name()
        if by not in self.within():
            can = "; ".join(filter(None, [f"it can purge by {', '.join(self.within())}", self.instead(by)]))
            raise PurgeError(f"{name} cannot purge by {by}; {can}", permanent=True)
        if isinstance(items, str):
            raise TypeError("saw one string, wanted a list of items to purge; put it in a list")
        wanted = tuple(dict.fromkeys(items))
        if not wanted:
            raise ValueError(f"saw no items, wanted at least one {by} to purge; nothing was purged")
        for item in wanted:
            if trouble := self.too_wide(item, by):
                raise ValueError(f"saw {item!r}, wanted {trouble}; nothing was purged")
        return wanted

    async def _answer(self, request: httpx.Request, client: httpx.AsyncClient) -> httpx.Response:
        """The response with a bounded body, in bounded time; asked with a token that has not ended."""
        if (source := self.token_source()) is None:
            return await self._asked(request, client)
        used = await source.token(client)
        request.headers["Authorization"] = f"Bearer {used}"
        response = await self._asked(request, client)
        if response.status_code == 401:
            # It was taken back before its time.
            source.forget(used)
            request.headers["Authorization"] = f"Bearer {await source.token(client)}"
            response = await self._asked(request, client)
        return response

    async def _asked(self, request: httpx.Request, client: httpx.AsyncClient) -> httpx.Response:
        for header, value in (("User-Agent", "roundsman"), ("Accept-Encoding", "identity")):
            request.headers.setdefault(header, value)
        for header in [header for header, value in request.headers.items() if not value]:
            # The variant of those who do not send it.
            del request.headers[header]
        request.extensions.setdefault("timeout", httpx.Timeout(None, connect=PURGE_TIMEOUT_SECONDS / 2).as_dict())
        asked = f"{self.get_block_type_name()} at {_origin(request)}"
        try:
            async with asyncio.timeout(PURGE_TIMEOUT_SECONDS):
                response = await client.send(request, stream=True, auth=self.auth(), follow_redirects=False)
                return await bounded(response, self.most)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
            # Their text could quote a token.
            says = f"{asked} was not asked: a line break in a setting, or a wrong address; correct it"
            raise PurgeError(says, permanent=True) from None
        except _NOT_SENT as trouble:
            seen = f"{type(trouble).__name__}: {self._hidden(str(trouble), request)}"
            says = f"{asked} could not be reached ({seen}), wanted an answer; see whether it is up, then purge again"
            raise PurgeError(says) from None
        except (httpx.RequestError, TimeoutError) as trouble:
            why = self._hidden(str(trouble), request) or f"no answer within {PURGE_TIMEOUT_SECONDS:g} s"
            seen = f"was asked and then lost ({type(trouble).__name__}: {why})"
            says = f"{asked} {seen}, wanted an answer; it may have purged: look before you purge again"
            raise PurgeError(says, unknown=True) from None

    def _unspeakable(self, order: Order) -> PurgeError:
        """What no header can carry: an item, or a setting, whose text could quote a token."""
        name = self.get_block_type_name()
        if odd := [item for item in order.items if not item.isascii()]:
            return PurgeError(f"{name} can't carry {odd[0]!r} in a header; encode it", permanent=True)
        says = f"{name} has a setting with characters that no header can carry; correct it"
        return PurgeError(says, permanent=True, shut_out=True, denied=True)

    def denies(self, response: httpx.Response) -> bool:
        """Whether an answer says that who asks is not known, or may not."""
        return response.status_code in DENIED

    def _failure(self, response: httpx.Response, asked: str, answer: str) -> PurgeError:
        status = response.status_code
        later = self.later(response)
        # Varnish sends Retry-After with every error, so it only counts where waiting can help.
        said = response.headers.get("retry-after") if later else None
        seen = f"{status} (Retry-After: {said[:40]})" if said else str(status)
        body_text = " ".join(re.sub(r"<[^>]*>", " ", answer).split())[:80].rstrip()
        # A quota that is used up is often a 403.
        denied = not later and self.denies(response)
        # Where the page itself is the answer, what is gone is that page, and no address of an API.
        astray = (status == 404 or response.is_redirect) and not self.refills
        what = "purge again later" if later else remedy(401 if denied and status not in DENIED else status)
        says = f"{self.get_block_type_name()} at {asked} answered {seen}, wanted 2xx; {what}"
        return PurgeError(
            f"{says}. It said: {body_text}" if body_text else says,
            permanent=not later,
            shut_out=denied or (astray and not later) or status == 405,
            denied=denied,
            # Somebody on the way gave up waiting, or it broke half-way.
            unknown=status in {500, 502, 504},
            retry_after=self.wait_of(response) if later else None,
        )

    def _hidden(self, text: str, request: httpx.Request) -> str:
        """A text from outside, with none of this block's secrets in it, nor what was signed with them."""
        signed = request.headers.get("authorization", "").rpartition(" ")[2]
        return struck_out(text, [*secrets_in(dict(self)), *filter(None, [signed])], "**********")


def _origin(request: httpx.Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
