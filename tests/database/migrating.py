"""A project with Alembic migrations, as somebody else would have it."""

import textwrap

import psycopg

from roundsman.database.rules.migration_facts import Migrations

INI = """
[alembic]
script_location = %(here)s/migrations
sqlalchemy.url = nothing://to.be/used
"""
ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["SHOP_URL"].replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
    context.configure(connection=connection, target_metadata=None, transaction_per_migration={each})
    with context.begin_transaction():
        context.run_migrations()
"""
MIGRATION = '''
"""{says}"""
from pathlib import Path
import sqlalchemy as sa
from alembic import op
revision, down_revision = {revision!r}, {before!r}
branch_labels, depends_on = {labels!r}, {needs!r}

def upgrade():
{up}

def downgrade():
{down}
'''


class Project:
    """Its folder, and the migrations in it by number: the first is 0001."""

    def __init__(self, folder, *, each=True):
        self.folder = folder
        (folder / "migrations/versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text(INI)
        (folder / "migrations/env.py").write_text(ENV.format(each=each))

    def add(self, says, up, down="pass"):
        number = len(list((self.folder / "migrations/versions").glob("*.py"))) + 1
        return self.write(f"{number:04}", f"{number - 1:04}" if number > 1 else None, up, down, says=says)

    def write(self, revision, before, up, down, *, says="", labels=None, needs=None, folder="versions"):
        """A migration that stands anywhere in the history."""
        body = {"up": textwrap.indent(_code(up), "    "), "down": textwrap.indent(_code(down), "    ")}
        path = self.folder / f"migrations/{folder}/{revision}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            MIGRATION.format(says=says, revision=revision, before=before, labels=labels, needs=needs, **body)
        )
        return path


def _code(written):
    """Python, or SQL statements: those are told by how they begin."""
    if isinstance(written, str) and not written.isupper() and not written.startswith(_SQL):
        return textwrap.dedent(written)
    statements = [written] if isinstance(written, str) else written
    return "\n".join(f"op.execute({one!r})" for one in statements)


_SQL = ("ALTER", "CREATE", "DROP", "UPDATE", "DELETE", "INSERT", "SET", "ANALYZE")


def plan(**more):
    return Migrations(**{"golden": "SHOP_GOLDEN", "url": "SHOP_URL", "smoke": ("true",), **more})


def fill(url, statements, revision=None):
    """Make a PostgreSQL database, at a revision."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
        if revision:
            connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
        connection.execute("ANALYZE")


def told(verdict):
    """Outcome and sight by the claim's name."""
    return {one.claim.partition("/")[2]: (str(one.outcome), one.saw) for one in verdict.findings}


def outcomes(verdict):
    """The claims of a verdict that are no pass, by their number."""
    return {one.claim.partition("/")[2]: str(one.outcome) for one in verdict.findings if one.outcome != "pass"}
