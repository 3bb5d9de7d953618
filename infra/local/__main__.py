"""``python -m infra.local up|down|status``: see the package."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from infra.local.secrets import StackError, load, write_private
from infra.local.servers import members, user_environment
from infra.local.supervisor import PATIENCE_SECONDS, Supervisor, is_up, sole
from ratchet.errors import RatchetError
from ratchet.settings import StackSettings, plain_environment, prepare_environment


@click.group(help="The local stack: PostgreSQL, S3, MLflow, Prefect and a worker.")
def main() -> None:
    """Sets nothing up by itself."""


@main.command()
def up() -> None:
    """Start the stack, wait until every member is healthy, and say where it is."""
    place = StackSettings()
    home = place.home.resolve()
    if not is_up(home):
        load(home)  # a secret that cannot be used is said here
        (home / "status.json").unlink(missing_ok=True)
        _launch(home)
    found = _follow(home)
    secrets = load(home)
    environment = user_environment(place, Path.cwd(), secrets)
    lines = [f"export {name}='{value}'" for name, value in environment.items()]
    lines += [
        "# For the web pages: Prefect asks for PREFECT_API_AUTH_STRING, MLflow for a user.",
        f"# MLflow's administrator: admin, {secrets.mlflow_admin}",
        "# Who delivers files, and may do nothing else:",
        f"# RATCHET_S3_ACCESS_KEY=sender RATCHET_S3_SECRET_KEY={secrets.s3_sender}",
    ]
    credentials = home / "credentials.env"
    write_private(credentials, "\n".join(lines) + "\n")
    _show(found)
    click.echo(f"\nCredentials (mode 0600): {credentials}\nUse them:  . {credentials}")


@main.command()
def down() -> None:
    """Stop every member; data stay."""
    home = StackSettings().home.resolve()
    if not is_up(home):
        click.echo("The stack is not up.")
        return
    pid = _status(home)["supervisor"]
    os.kill(pid, signal.SIGTERM)
    while is_up(home):
        time.sleep(0.1)
    click.echo("The stack is down.")


@main.command()
def status() -> None:
    """What runs; exit code 1 unless all members are healthy."""
    home = StackSettings().home.resolve()
    if not is_up(home):
        click.echo("The stack is not up: make up")
        sys.exit(1)
    found = _status(home)
    _show(found)
    sys.exit(any(m["state"] != "healthy" for m in found["members"]))


@main.command(hidden=True)
def supervise() -> None:
    """Run the stack in this process until SIGTERM."""
    prepare_environment()
    place = StackSettings()
    home = place.home.resolve()
    with sole(home):
        Supervisor(home, members(place, Path.cwd(), load(home))).run()


def _launch(home: Path) -> None:
    with (home / "supervisor.log").open("ab") as log:
        stack = StackSettings().model_dump()
        chosen = {f"RATCHET_STACK_{name.upper()}": str(value) for name, value in stack.items()}
        subprocess.Popen(
            (sys.executable, "-m", "infra.local", "supervise"),
            env={**plain_environment(), **chosen},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _follow(home: Path) -> dict[str, Any]:
    """Say who is ready as it happens, until all are."""
    seen: set[str] = set()
    deadline = time.monotonic() + 3 * PATIENCE_SECONDS
    started = time.monotonic()
    while time.monotonic() < deadline:
        found: dict[str, Any] = {"state": "", "members": []}
        if (home / "status.json").exists():
            found = _status(home)
        for member in found["members"]:
            if member["state"] == "healthy" and member["name"] not in seen:
                seen.add(member["name"])
                click.echo(f"  {time.monotonic() - started:5.1f} s  {member['name']} is ready")
        if found["state"] == "up":
            return found
        if found["state"] == "failed":
            raise StackError(found["trouble"])
        time.sleep(0.2)
    raise StackError(f"the stack did not come up; see {home / 'supervisor.log'}")


def _status(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "status.json").read_text(encoding="utf-8"))
    return found


def _show(found: dict[str, Any]) -> None:
    for member in found["members"]:
        again = f"  restarted {member['restarts']} times" if member["restarts"] else ""
        trouble = f"  {member['trouble']}" if member["trouble"] else ""
        pid = member["pid"] or "-"
        click.echo(
            f"{member['name']:<9} {member['state']:<10} {pid!s:>7}  {member['address']}"
            f"{again}{trouble}"
        )


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except RatchetError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
