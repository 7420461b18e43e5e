"""The role that migrations are rehearsed as on PostgreSQL: it owns the copy, and has no right to anything else.

SQL can make a server connect to another one, and who may drop a database may do so from within another. So what runs
on the copy is a role of its own, made with the copy and dropped with it.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

#: Extensions with functions that connect to somewhere else.
_REACHING = ("dblink", "http", "pg_net", "plproxy", "pg_cron", "aws_s3", "aws_lambda", "azure_storage", "pg_background")
#: Roles of PostgreSQL that may start programs, write files, or end the sessions of others.
_MIGHTY = ("pg_execute_server_program", "pg_write_server_files", "pg_read_server_files", "pg_signal_backend")

_MAY = "SELECT rolsuper, rolsuper OR rolcreaterole, rolreplication FROM pg_roles WHERE rolname = current_user"

#: What makes a role the owner of all that is in a database and belongs to no extension. What depends on a table, such
#: as the sequence of a serial column, comes along with it.
_HAND_OVER = """
WITH own AS (SELECT objid, classid FROM pg_depend WHERE deptype = 'e'),
s AS (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
mine AS (SELECT oid FROM pg_roles WHERE pg_has_role(current_user, oid, 'USAGE'))
SELECT format('ALTER SCHEMA %I OWNER TO {role}', n.nspname) FROM pg_namespace n JOIN s USING (oid)
    WHERE n.nspowner IN (SELECT oid FROM mine) AND pg_get_userbyid(n.nspowner) <> 'pg_database_owner'
    AND (n.oid, 'pg_namespace'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER TABLE %I.%I OWNER TO {role}', s.nspname, c.relname)
    FROM pg_class c JOIN s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relowner IN (SELECT oid FROM mine)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE c.relkind = 'S' AND d.objid = c.oid
        AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
    AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO {role}', p.oid::regprocedure)
    FROM pg_proc p JOIN s ON s.oid = p.pronamespace
    WHERE p.proowner IN (SELECT oid FROM mine) AND (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER %s %I.%I OWNER TO {role}', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
    s.nspname, t.typname) FROM pg_type t JOIN s ON s.oid = t.typnamespace
    WHERE t.typowner IN (SELECT oid FROM mine) AND (t.typtype IN ('e', 'd', 'r')
        OR t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')
    AND (t.oid, 'pg_type'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER STATISTICS %I.%I OWNER TO {role}', s.nspname, x.stxname)
    FROM pg_statistic_ext x JOIN s ON s.oid = x.stxnamespace WHERE x.stxowner IN (SELECT oid FROM mine)
"""
#: What closes the ways from the copy's server to other ones. Rights of the database's own owner are given up with it.
_CLOSE = """
SELECT format('DROP USER MAPPING FOR %s SERVER %I', CASE WHEN umuser = 0 THEN 'PUBLIC' ELSE quote_ident(usename) END,
    srvname) FROM pg_user_mappings
UNION ALL SELECT format('REVOKE ALL ON FOREIGN SERVER %I FROM PUBLIC', srvname) FROM pg_foreign_server
UNION ALL SELECT format('REVOKE ALL ON FOREIGN DATA WRAPPER %I FROM PUBLIC', fdwname) FROM pg_foreign_data_wrapper
UNION ALL SELECT format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure) FROM pg_proc p
    JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid WHERE e.extname = ANY (:reaching)
"""
#: Ways to other servers that are open to the current role.
_OPEN = """
SELECT 'the foreign server ' || srvname FROM pg_foreign_server WHERE has_server_privilege(oid, 'USAGE')
UNION ALL SELECT 'the foreign data wrapper ' || fdwname FROM pg_foreign_data_wrapper
    WHERE has_foreign_data_wrapper_privilege(oid, 'USAGE')
UNION ALL SELECT DISTINCT 'the extension ' || e.extname FROM pg_proc p
    JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid
    WHERE e.extname = ANY (:reaching) AND has_function_privilege(p.oid, 'EXECUTE')
UNION ALL SELECT 'the role ' || rolname FROM pg_roles WHERE rolname = ANY (:mighty) AND pg_has_role(oid, 'USAGE')
"""


@dataclass(frozen=True, slots=True)
class Role:
    """Who a rehearsal's commands are to the server."""

    name: str
    password: str = field(repr=False)


class RoleError(Exception):
    """There is no role that could do no harm; says why."""


def made(connection: Connection, database: str) -> Role | None:
    """Make a role named as the copy, the owner of the copy and all that is in it. None where none may be made.

    Args:
        connection: To the copy, each statement by itself.
        database: The copy's name; it needs no quotes.

    Raises:
        RoleError: it can't be kept from reaching other servers.
    """
    is_superuser, may, _ = connection.exec_driver_sql(_MAY).one()
    if not may:
        return None
    role = Role(database, secrets.token_hex(16))
    run = connection.exec_driver_sql
    run(f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION")
    if not is_superuser:
        run(f"GRANT {role.name} TO CURRENT_USER")
    for setting in connection.execute(text("SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = current_user")):
        name, _, value = setting[0].partition("=")
        # A list of schemas is kept with its own quotes.
        quoted = value if name == "search_path" and value else "'" + value.replace("'", "''") + "'"
        with suppress(DBAPIError):  # one that only a superuser may set
            run(f"ALTER ROLE {role.name} SET {name} TO {quoted}")
    run(f"ALTER DATABASE {database} OWNER TO {role.name}")
    try:
        for statement in [*_statements(connection, _CLOSE), *_statements(connection, _HAND_OVER, role.name)]:
            run(statement)
    except DBAPIError as error:
        said = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise RoleError(f"the copy can't be handed to a role without rights: {said}") from None
    return role


def _statements(connection: Connection, ask: str, role: str = "") -> Sequence[str]:
    asked = {"reaching": list(_REACHING)} if ":reaching" in ask else {}
    return connection.execute(text(ask.replace("{role}", role)), asked).scalars().all()


def harmful(connection: Connection) -> str:
    """Why the current role can't be trusted with a migration on this server, or ""."""
    is_superuser, _, is_replication = connection.exec_driver_sql(_MAY).one()
    if is_superuser or is_replication:
        return "it is a superuser" if is_superuser else "it may replicate other databases"
    open_ways = connection.execute(text(_OPEN), {"reaching": list(_REACHING), "mighty": list(_MIGHTY)}).scalars().all()
    return f"it may use {', '.join(open_ways)}" if open_ways else ""
