"""Finding and reading database files."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from roundsman.database import copied_database
from roundsman.database.copied_database import RehearsalError, address, same_database
from roundsman.database.rules.acceptance import MAX_ACCEPTED_DAYS, Acceptance, AcceptedClaim, unknown_claim
from roundsman.database.rules.judge_queries import ACCEPTABLE as QUERY_CLAIMS
from roundsman.database.rules.migration_facts import ACCEPTABLE as MIGRATION_CLAIMS
from roundsman.database.rules.migration_facts import listed
from roundsman.database.rules.named_queries import NamedQuery, read_queries
from roundsman.database.rules.promise import Conflict, Database, conflicts
from roundsman.folders import files_of
from roundsman.report.rules.text import without_credentials
from roundsman.site.rules.site import Schedule
from roundsman.site.rules.site_file import Place, Problem, SiteFileError, dotted, read_as
from roundsman.site.site_file import schedule_problems, shown_and_text

#: Where the databases are written down.
DATABASES = files_of("databases")


def all_databases() -> list[Path]:
    """Every database file of the project."""
    return sorted(DATABASES.glob("*.yaml"))


def path_of(database: str) -> Path:
    """Where the file of a name in deployments/databases/ is; a path is one itself.

    Raises:
        SiteFileError: it is an address.
    """
    if "://" in database:
        mend = "name a file of deployments/databases/ or a path to one; the address stands there as `url: {env: NAME}`"
        raise SiteFileError([Problem(without_credentials(database), 0, "DATABASE", "an address", mend)])
    path = Path(database)
    return path if path.suffix in {".yaml", ".yml"} or "/" in database else DATABASES / f"{database}.yaml"


def load_database(database: str) -> Database:
    """The database of a name in deployments/databases/, or of a path to a database file.

    Raises:
        SiteFileError: there is no such file, or something in it is wrong.
    """
    return check_database(path_of(database))


def folder_of(database: str) -> Path:
    """The folder of the project that has the migrations."""
    path = path_of(database)
    return (path.parent / check_database(path).folder).resolve()


def queries_of(path: Path) -> tuple[NamedQuery, ...]:
    """Read a file of named queries.

    Raises:
        SiteFileError: with every problem found.
    """
    shown, text = shown_and_text(path, sorted(path.parent.glob(f"*{path.suffix}")), "query lists")
    return read_queries(text, shown)


def check_database(path: Path) -> Database:
    """Read one database file and its named queries, and look for the files that it names.

    Raises:
        SiteFileError: with every problem found.
    """
    shown, text = shown_and_text(path, all_databases(), "databases")
    first = "database, owner, expected_result, rollback and url"
    queries: list[Problem] = []

    def also(promised: Database) -> Iterator[Conflict]:
        yield from _conflicts_here(promised, path)
        wrong, unnamed = _query_problems(promised, path)
        queries.extend(wrong)
        yield from unnamed

    try:
        promised, _ = read_as(text, shown, Database, conflicts, also, first)
    except SiteFileError as error:
        raise SiteFileError([*error.problems, *queries]) from None
    if queries:
        raise SiteFileError(queries)
    return promised


def _conflicts_here(promised: Database, path: Path) -> Iterator[Conflict]:
    """A name by which the database would not be found, times at which nothing would run, and files that are missing."""
    if path.parent.resolve() == DATABASES and path.stem != promised.database:
        yield ("database",), repr(promised.database), f"a file of this folder has its database's name: {path.stem}"
    if promised.schedule:
        slot = Schedule(inspect=promised.schedule.review, timezone=promised.schedule.timezone)
        for field, saw, mend in schedule_problems(slot):
            yield ("schedule", field.replace("inspect", "review")), saw, mend
    folder = path.parent / promised.folder
    if not folder.is_dir():
        yield ("folder",), f"no folder {promised.folder!r}", f"wanted the project's folder, from {path.parent}"
    elif promised.migrations and not (folder / promised.migrations.config).is_file():
        mend = f"wanted Alembic's file, from {folder}"
        yield ("migrations", "config"), f"no file {promised.migrations.config!r}", mend
    if promised.queries and not (folder / promised.queries.file).is_file():
        mend = f"wanted a file of named queries, from {folder}"
        yield ("queries", "file"), f"no file {promised.queries.file!r}", mend
    yield from _acceptances(promised, datetime.now(UTC).date())


def _query_problems(promised: Database, path: Path) -> tuple[Sequence[Problem], Sequence[Conflict]]:
    """What is wrong in the file of named queries, and what of the database file names none of them."""
    if promised.queries is None or not (file := path.parent / promised.folder / promised.queries.file).is_file():
        return (), ()
    try:
        names = {one.name for one in queries_of(file)}
    except SiteFileError as error:
        return error.problems, ()
    unnamed: list[Conflict] = [
        (("queries", "accept", place, "query"), repr(one.query), f"wanted one of {listed(sorted(names))}")
        for place, one in enumerate(promised.queries.accept)
        if one.query not in names
    ]
    return (), unnamed


def _acceptances(promised: Database, today: date) -> Iterator[Conflict]:
    """What is wrong with what a database file accepts: a claim that nobody knows, or a day that is too far away."""
    farthest = today + timedelta(days=MAX_ACCEPTED_DAYS)
    for place, one in entries(promised):
        if isinstance(one, AcceptedClaim):
            known = MIGRATION_CLAIMS if place[0] == "migrations" else QUERY_CLAIMS
            if wanted := unknown_claim(one.claim, known):
                yield (*place, "claim"), repr(one.claim), wanted
        if one.until and one.until > farthest:
            mend = f"wanted {farthest} at the latest: look at it again then"
            yield (*place, "until"), str(one.until), mend


def entries(promised: Database) -> Iterator[tuple[Place, Acceptance]]:
    """All that a database file accepts, with where it stands."""
    for name, one in promised.indexes.accept.items():
        yield ("indexes", "accept", name), one
    for number, query in enumerate(promised.queries.accept if promised.queries else ()):
        yield ("queries", "accept", number), query
    for number, migration in enumerate(promised.migrations.accept if promised.migrations else ()):
        yield ("migrations", "accept", number), migration


def expired(promised: Database, today: date) -> list[str]:
    """What was accepted until a day that has passed, in words; it counts again."""
    return [
        f"{dotted(place)}: accepted {one}, which is over; what it covers counts again"
        for place, one in entries(promised)
        if one.is_over(today)
    ]


def addresses(promised: Database, shown: str) -> None:
    """See that every variable that a database file names holds an address.

    Raises:
        SiteFileError: with each that does not; no address is shown.
    """
    named = [("url", promised.url.env), *(("nodes", node.env) for node in promised.nodes)]
    if promised.queries and promised.queries.run_on:
        named.append(("queries.run_on", promised.queries.run_on.env))
    if promised.migrations:
        named.append(("migrations.golden", promised.migrations.golden))
    problems = []
    for field, variable in named:
        try:
            address(variable)
        except RehearsalError as error:
            problems.append(
                Problem(shown, 0, field, str(error).removeprefix("saw "), f"set {variable} where this runs")
            )
    if problems:
        raise SiteFileError(problems)
    check_golden(promised, shown)


def check_golden(promised: Database, shown: str) -> None:
    """See that the golden database is not the live one, nor a node of it, by whatever name each is called.

    Raises:
        SiteFileError: it is. Where one of them can't be reached, the review says so later.
    """
    plan = promised.migrations
    if plan is None:
        return
    for variable in (promised.url.env, *(node.env for node in promised.nodes)):
        with suppress(RehearsalError):
            golden, live = address(plan.golden), address(variable)
            if not same_database(golden, live):
                continue
            try:
                copied_database.refuse_live_as_golden(golden, live)
            except RehearsalError as error:
                saw, _, wanted = str(error).removeprefix("saw ").partition("; ")
                mend = f"{plan.golden} and {variable} lead to one database; {wanted}"
                raise SiteFileError([Problem(shown, 1, "migrations.golden", saw, mend)]) from None
