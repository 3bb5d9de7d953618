"""``ratchet source``: who sends, how far each is trusted, and taking one back out."""

from __future__ import annotations

import json
from typing import Any

import click

from ratchet.cli.look import only_pipeline
from ratchet.settings import quiet_logs


@click.group()
def source() -> None:
    """Who sends data, how their accounts stand; revoke and restore them."""


@source.command("list")
@click.option("-p", "--pipeline")
@click.option("--json", "as_json", is_flag=True)
def list_sources(pipeline: str | None, as_json: bool) -> None:
    """Every source that was checked, the least trusted first."""
    from tasks.accounts import standing
    from tasks.revoke import revoked
    from tasks.workspace import open_workspace

    space = open_workspace(only_pipeline(pipeline))
    out, found = revoked(space), standing(space)
    known = {one["source"] for one in found}
    rows: list[dict[str, Any]] = [{**one, "revoked": one["source"] in out} for one in found]
    rows += [{"source": s, "revoked": True, "trust": None} for s in out if s not in known]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for one in rows:
        state = "revoked" if one["revoked"] else "learned from"
        trust = "" if one["trust"] is None else f", trust {one['trust']:.3f}"
        click.secho(f"{one['source']}: {state}{trust}", bold=True)
        if "arithmetic" in one:
            click.echo(f"  {one['arithmetic']}")
    if not rows:
        click.echo("No source was checked yet: no trusted rows and no audit so far.")


@source.command()
@click.argument("name")
@click.option("-p", "--pipeline")
@click.option("--since", help="Any time in the first window to take back; left out: everything.")
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--by", help="Who decides; recorded.")
@click.option("--reason", help="Why; recorded.")
@click.option("--json", "as_json", is_flag=True)
def revoke(
    name: str,
    pipeline: str | None,
    since: str | None,
    dry_run: bool,
    yes: bool,
    by: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Take back what NAME sent: rows, labels, and the models that learned from them."""
    quiet_logs()
    from tasks.revoke import blast_radius
    from tasks.revoke import revoke as take_back
    from tasks.workspace import open_workspace

    space = open_workspace(only_pipeline(pipeline))
    known_from = space.calendar.parse(since).start if since else None
    found = blast_radius(space, name, known_from)
    if not dry_run:
        if not by or not reason:
            raise click.UsageError("say who decides and why: --by NAME --reason TEXT")
        if not yes and not as_json:
            _say(found.as_json())
            click.confirm("Take it back?", abort=True)
        found = take_back(space, name, known_from, by=by, reason=reason)
    click.echo(json.dumps(found.as_json())) if as_json else _say(found.as_json())
    if dry_run and not as_json:
        click.echo("Nothing was written. Without --dry-run this is done.")


@source.command()
@click.argument("name")
@click.option("-p", "--pipeline")
@click.option("--by", required=True, help="Who decides; recorded.")
@click.option("--reason", required=True, help="Why; recorded.")
def restore(name: str, pipeline: str | None, by: str, reason: str) -> None:
    """Let NAME be learned from again, from the next window on."""
    from tasks.revoke import restore as let_in
    from tasks.workspace import open_workspace

    let_in(open_workspace(only_pipeline(pipeline)), name, by=by, reason=reason)
    click.echo(f"{name}: learned from again, from the next window on")


def _say(blast: dict[str, Any]) -> None:
    span = " to ".join(blast["windows"]) or "none"
    versions = ", ".join(map(str, blast["versions"])) or "none"
    click.echo(f"Source {blast['source']} since {blast['since']}")
    click.echo(
        f"  rows      {blast['rows']:,} accepted, labels {blast['labels']:,}; windows {span}"
    )
    click.echo(f"  models    versions that learned from it: {versions}")
    moved = blast["restored"] != blast["champion"]
    then = f"version {blast['champion']} -> {blast['restored']}" if moved else "stays"
    click.echo(f"  champion  {then}")
    if blast["note"]:
        click.secho(f"  {blast['note']}", fg="red")
