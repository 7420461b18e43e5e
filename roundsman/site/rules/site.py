"""The promise a team writes down for its site: who owns it, what each route should do, and how to go back."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from roundsman.report.rules.durations import Duration
from roundsman.site.rules.field_types import Address, BlockName, EnvName, HeaderName, Model, Name, Path, Text
from roundsman.site.rules.promises import KEPT_ROUNDS, AlertPolicy, Audience, Drill, Environments, Rule, quorum
from roundsman.site.rules.url_spelling import spelled


class Health(Model):
    """Where the site says that it is up."""

    path: Path
    expect: int = 200


class Version(Model):
    """Where the site says what it runs."""

    path: Path
    json_field: Text | None = Field(default=None, alias="json")
    """The field of a JSON answer; the whole body when left out."""


class ReleasePromise(Model):
    """How a release comes and goes."""

    version: Version | None = None
    schema_head: Version | None = None
    """Where the site says which migration its database is at."""
    data_checksum: Version | None = None
    """Where the site says a checksum of data that must outlive a release and its rollback."""
    deploy: tuple[Text, ...] = ()
    """The command, as a list of words, that brings the new release."""
    rollback: tuple[Text, ...] = ()
    """The command, as a list of words, that puts the previous one back."""
    environments: Environments = Field(default_factory=Environments)
    rehearsal: Drill = Field(default_factory=Drill)


class Schedule(Model):
    """When the jobs run."""

    inspect: Text
    """`hourly`, `daily` (between three and four), or a cron expression of five fields. A minute written `H`, as in
    `H */2 * * *`, comes from the site's name, so that sites do not start together; the words do so too."""
    rehearse: Text | None = None
    """When the release is rehearsed in staging, in the same words; never by itself when left out."""
    compare: Text | None = None
    """When the rounds since the last release are compared with those before it, in the same words; never by itself when
    left out."""
    sweep: Text | None = None
    """When all pages of the sitemaps are looked at, in the same words; never by itself when left out."""
    purge: Text | None = None
    """When the purge queue is worked off, such as `* * * * *` for each minute; never by itself when left out."""
    catalogue: Text | None = None
    """When the catalogue is imported, in the same words as the others; never by itself when left out."""
    timezone: Text = "UTC"
    """Where these times hold, such as Europe/Berlin; what is due every hour goes by UTC, where none comes twice."""


class Manners(Model):
    """How gently the site is asked."""

    rate: float = Field(default=20, gt=0, le=5000)
    """Requests a second, at most, from one worker."""
    timeout: Duration = Field(default=10.0, gt=0, le=3600)
    """For one whole exchange."""
    max_body: int = Field(default=10_000_000, gt=0)
    """Bytes of a response after decompression; a longer one is cut off and counts as no answer."""
    samples: int | None = Field(default=None, ge=1, le=10_000)
    """Response times taken for one route and cache state; as many as `precision` takes when left out."""
    precision: float = Field(default=0.2, ge=0.01, le=1)
    """How closely a budget's quantile is to be told: its 95 % interval reaches about this share to either side."""


class Sweep(Model):
    """How every page of the sitemaps is looked at."""

    sitemaps: tuple[Text, ...] = ()
    """Addresses or paths; those that robots.txt names when left out, else /sitemap.xml."""
    share: float = Field(default=1, gt=0, le=1)
    """How many of the pages are looked at; always the same ones."""
    most: int = Field(default=1_000_000, ge=1, le=50_000_000)
    """Pages after which no further sitemap is read."""
    rate: float = Field(default=20, gt=0, le=100_000)
    """Requests a second, at most, from all workers together."""
    workers: int = Field(default=2, ge=1, le=64)
    """Shards under way at once, each with its part of the rate."""
    shard: int = Field(default=20_000, ge=100, le=1_000_000)
    """Pages of one shard, about: each is a run, and a run costs some seconds before it works, so few and large."""


class Catalogue(Model):
    """Where the site's articles come from, for `import_catalogue`."""

    feed: Text
    """A file of JSON lines or CSV, or the address of a paged API. Everybody may see it: no secret in it."""


class Notify(Model):
    """Who is told of trouble, how soon and how often."""

    channels: tuple[BlockName, ...] = Field(min_length=1, json_schema_extra={"uniqueItems": True})
    """Notification blocks, such as slack-webhook/ops or apprise/mail."""
    after: Annotated[Text, AfterValidator(quorum)] = "1 of 1"
    """So many of the last rounds must be bad before anybody is told, such as `2 of 3`."""
    recover: int = Field(default=1, ge=1, le=KEPT_ROUNDS)
    """So many good rounds in a row are a recovery."""
    remind: Duration = Field(default=12 * 3600.0, gt=0)
    """The time between two messages about the same trouble, such as 12h."""

    @property
    def policy(self) -> AlertPolicy:
        """The same, as the alerts' state machine takes it."""
        return AlertPolicy.of(self.after, self.recover, self.remind)


class Env(Model):
    """A secret that is read from the environment when it is needed."""

    env: EnvName


class Site(Model):
    """One site and everything promised about it."""

    site: Name
    base_url: Address
    """Scheme and host, without a path."""
    owner: Text
    """Team and address, such as `web-platform <web-oncall@example.com>`."""
    edge: BlockName | None = None
    """Block type and name of the CDN or reverse proxy, such as cloudflare/shop."""
    shield: BlockName | None = None
    """Block type and name of a cache between the edge and the origin, such as varnish/shield; it is purged first."""
    servers: tuple[Address, ...] = ()
    """Addresses of the edge's own servers, such as http://10.0.0.7:6081: a purge is proven at each. When left out,
    the nodes of the edge's block are asked."""
    origin: Address | None = None
    """Where the origin answers behind the edge, such as http://10.0.0.5:8080; it is asked by the site's own name.
    Its response times are then kept as a series of their own."""
    slow_after: Annotated[Text, AfterValidator(quorum)] = "2 of 3"
    """So many of the last rounds must find a route slow, degraded or down before the site is called so."""
    purge_at_most: int = Field(default=20, ge=1, le=1000)
    """URLs that one purge may name."""
    accept: tuple[Literal["query", "case"], ...] = ()
    """What the edge may take along with a purge, where it can't tell it apart: other queries, other spellings."""
    status_header: HeaderName | None = None
    """The header in which the edge says what it did, when it is none that is known, such as X-Our-Cache."""
    targeted_fields: tuple[HeaderName, ...] | None = None
    """The fields that the edge obeys instead of Cache-Control, the first one first; as its maker documents when left
    out, such as CDN-Cache-Control (RFC 9213)."""
    staging: bool = False
    """Whether no reader is here, so that tests may be made that could harm one."""
    health: Health | None = None
    sessions: tuple[BlockName, ...] = ()
    """Test members, such as member/ada; two of them prove that no one gets another's page."""
    # Not in what Prefect is told of a run: a parameter is shown to everybody.
    blocks: dict[BlockName, dict[str, Any]] = Field(default_factory=dict, exclude=True, repr=False)
    """Settings of the blocks named above, when they are not kept in Prefect. A secret is `{env: NAME}`."""
    rules: tuple[Rule, ...] = Field(min_length=1)
    release: ReleasePromise | None = None
    schedule: Schedule | None = None
    notify: Notify | None = None
    """Who is told what a round found; nobody when left out."""
    manners: Manners = Field(default_factory=Manners)
    sweep: Sweep = Field(default_factory=Sweep)
    catalogue: Catalogue | None = None

    def url(self, path: str) -> str:
        """The address of a path."""
        return self.base_url + path

    def rule_for(self, path: str) -> Rule | None:
        """The rule that decides a path: the first that matches."""
        for rule in self.rules:
            if rule.matches(path):
                return rule
        return None

    def owner_of(self, rule: Rule) -> str:
        """Who answers for a rule, without the address."""
        return (rule.owner or self.owner).partition("<")[0].strip()

    @property
    def edge_names(self) -> tuple[str, ...]:
        """The blocks of what stands between a reader and the origin, the one nearest to the origin first."""
        return tuple(dict.fromkeys(name for name in (self.shield, self.edge) if name))

    @cached_property
    def host(self) -> str:
        """Host and, if written, port."""
        return urlsplit(self.base_url).netloc


#: Under which name the rollback of the whole site is kept.
RELEASE = "release"

Conflict = tuple[tuple[str | int, ...], str, str]


def conflicts(site: Site) -> Iterator[Conflict]:
    """What a site file says twice or against itself: place, what was seen, what to do."""
    yield from _settings(site)
    named: set[str] = set()
    listed: dict[str, str] = {}
    for index, rule in enumerate(site.rules):
        here = ("rules", index)
        if rule.name in named:
            yield (*here, "name"), rule.name, "another rule has this name; give each its own"
        named.add(rule.name)
        yield from _promises(site, rule, here)
        yield from _claims(site, rule, here, listed)


def _settings(site: Site) -> Iterator[Conflict]:
    """What the settings of the whole site say twice or against each other."""
    channels = site.notify.channels if site.notify else ()
    for place, channel in enumerate(channels):
        if channel in channels[:place]:
            yield ("notify", "channels", place), channel, "it would be told twice; name each channel once"
    for place, rule in enumerate(site.rules):
        if rule.response_time and rule.response_time.origin and not site.origin:
            remedy = "nobody can ask it; add `origin: http://HOST:PORT` to the site"
            yield ("rules", place, "response_time", "origin"), "a budget of the origin", remedy
    if site.schedule and site.schedule.purge and not site.edge:
        yield ("schedule", "purge"), site.schedule.purge, "a purge needs an edge; add `edge: TYPE/NAME` to the site"
    if site.schedule and site.schedule.catalogue and not site.catalogue:
        remedy = "an import needs a feed; add `catalogue: {feed: FILE or ADDRESS}` to the site"
        yield ("schedule", "catalogue"), site.schedule.catalogue, remedy


def _promises(site: Site, rule: Rule, here: tuple[str | int, ...]) -> Iterator[Conflict]:
    """What one rule says against itself, or without what it needs."""
    if rule.name == RELEASE:
        yield (*here, "name"), rule.name, "the site's own rollback goes by this name; give the rule another"
    if not rule.routes:
        remedy = "a rule without an example can't be proven; add a route to cached or not_cached"
        yield (*here, "examples"), "no example", remedy
    if rule.examples.cached and rule.cache.by is not Audience.EVERYONE:
        remedy = f"a page kept by {rule.cache.by} is not cached for all; list it under not_cached"
        yield (*here, "examples", "cached"), rule.examples.cached[0], remedy
    if not rule.examples.cached:
        yield from _idle(site, rule, here)
    if rule.cache.key and (both := set(rule.cache.key.same) & set(rule.cache.key.apart)):
        yield (*here, "cache", "key"), min(both), "it can't be both; leave it in same or in apart"
    if rule.purge and not site.edge:
        yield (*here, "purge"), rule.purge.canary, "a purge needs an edge; add `edge: TYPE/NAME` to the site"


def _idle(site: Site, rule: Rule, here: tuple[str | int, ...]) -> Iterator[Conflict]:
    """Promises that are looked at on a cached example only, in a rule without one. A purge needs some as well."""
    cache, budget, purges = rule.cache, rule.response_time, bool(site.edge)
    idle = (
        (("cache", "encodings"), "" if purges else ", ".join(cache.encodings)),
        (("cache", "key"), "a key" if cache.key and not purges else ""),
        (("cache", "missing"), str(cache.missing or "")),
        (("response_time", "hit"), "a budget for hits" if budget and budget.hit else ""),
    )
    for place, saw in idle:
        if saw:
            yield (*here, *place), saw, "only a cached example shows it; add one to examples, or take the promise out"


def _claims(site: Site, rule: Rule, here: tuple[str | int, ...], listed: dict[str, str]) -> Iterator[Conflict]:
    """Paths that a rule names and that are not, or not only, its own."""
    paths = [
        ((*here, "examples", kind, place), path)
        for kind in ("cached", "not_cached")
        for place, path in enumerate(getattr(rule.examples, kind))
    ]
    for where, path in paths:
        if spelled(path) in listed:
            yield where, path, f"rule {listed[spelled(path)]} claims the same example; leave it to one of them"
        listed.setdefault(spelled(path), rule.name)
    if rule.purge:
        paths.append(((*here, "purge", "canary"), rule.purge.canary))
    for where, path in paths:
        if not rule.matches(path):
            yield where, path, f"its own rule does not match it; wanted a path like {' or '.join(rule.paths)}"
        elif (first := site.rule_for(path)) is not None and first.name != rule.name:
            remedy = f"rule {first.name} stands earlier and claims it too; reorder the rules or narrow its paths"
            yield where, path, remedy
