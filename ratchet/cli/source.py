"""``ratchet source``: who sends, how far each is trusted, and taking one back out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.look import only_pipeline
from ratchet.settings import quiet_logs

if TYPE_CHECKING:
    from ratchet.contracts.revocation import Reach
    from tasks.workspace import Workspace

SHOWN = 6  # models whose table versions the text names


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
    reaches, found = revoked(space), standing(space)
    whole = [r for r in reaches if r.object is None and r.known_until is None and not r.where]
    out = {reach.source for reach in whole}
    parts = [reach for reach in reaches if reach.source not in out]
    known = {one["source"] for one in found}
    rows: list[dict[str, Any]] = [{**one, "revoked": one["source"] in out} for one in found]
    rows += [{"source": s, "revoked": True, "trust": None} for s in sorted(out - known)]
    rows += [{"source": r.source, "revoked": _span(space, r), "trust": None} for r in parts]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for one in rows:
        state = "revoked" if one["revoked"] is True else one["revoked"] or "learned from"
        trust = "" if one["trust"] is None else f", trust {one['trust']:.3f}"
        click.secho(f"{one['source']}: {state}{trust}", bold=True)
        if "arithmetic" in one:
            click.echo(f"  {one['arithmetic']}")
    if not rows:
        click.echo("No source was checked yet: no trusted rows and no audit so far.")


@source.command()
@click.argument("name", required=False)
@click.option("-p", "--pipeline")
@click.option("--since", help="Any time in the first window to take back; left out: everything.")
@click.option("--until", help="Any time in the first window to keep again; left out: no end.")
@click.option("--window", help="Any time in the one window to take back: a single batch.")
@click.option("--object", "key", help="One object by key or SHA-256, instead of NAME.")
@click.option("--where", multiple=True, help="COLUMN=VALUE: only such rows; repeated, all hold.")
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--by", help="Who decides; recorded.")
@click.option("--reason", help="Why; recorded.")
@click.option("--json", "as_json", is_flag=True)
def revoke(
    name: str | None,
    pipeline: str | None,
    since: str | None,
    until: str | None,
    window: str | None,
    key: str | None,
    where: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    by: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Take back what NAME sent: rows, labels, and the models that learned from them.

    A batch is what NAME sent in one window (--window), or one object (--object). --where confines
    either to rows with a value in a column, and to the labels of such rows. What is left is trained
    on at once, and the new model passes the same gates as any other.
    """
    quiet_logs()
    from tasks.blast import blast_radius
    from tasks.workspace import open_workspace

    if bool(name) == bool(key):
        raise click.UsageError("say what to take back: a source's NAME, or --object KEY")
    if window and (since or until):
        raise click.UsageError("--window is one batch; it cannot go with --since or --until")
    space = open_workspace(only_pipeline(pipeline))
    reach = _reach(space, name, key, window or since, window or until, bool(window), where)
    found = blast_radius(space, reach)
    answer: dict[str, Any] = found.as_json()
    if not dry_run:
        if not by or not reason:
            raise click.UsageError("say who decides and why: --by NAME --reason TEXT")
        if not yes and not as_json:
            _say(answer)
            click.confirm("Take it back?", abort=True)
        from flows.retrain import take_back
        from tasks.notify import tell

        taken = take_back(space, reach, by=by, reason=reason)
        tell(space)
        answer = taken.blast.as_json()
        if taken.relearned:
            answer["relearned"] = taken.relearned.as_json()
    click.echo(json.dumps(answer)) if as_json else _say(answer)
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


def _reach(
    space: Workspace,
    name: str | None,
    key: str | None,
    since: str | None,
    until: str | None,
    batch: bool,
    where: tuple[str, ...],
) -> Reach:
    """What the options mean; of a ``batch``, the window of ``until`` belongs to it."""
    from ratchet.contracts.revocation import ALWAYS, Reach, where_of
    from tasks.reach import object_named

    first, end = (space.calendar.parse(t) if t else None for t in (since, until))
    sent = object_named(space, key) if key else Reach(name or "")
    return replace(
        sent,
        known_from=ALWAYS if first is None else first.start,
        known_until=None if end is None else end.end if batch else end.start,
        where=where_of(where, space.definition.features),
    )


def _say(blast: dict[str, Any]) -> None:
    span = " to ".join(blast["windows"]) or "none"
    versions = ", ".join(map(str, blast["versions"])) or "none"
    what = (
        f"Object {blast['object'][:12]} of {blast['source']}"
        if blast["object"]
        else f"Source {blast['source']}"
    )
    what += f", rows with {blast['where']}," if blast["where"] else ""
    click.echo(f"{what} {blast['span']}")
    click.echo(
        f"  rows      {blast['rows']:,} accepted, labels {blast['labels']:,}; windows {span}"
    )
    _say_versions(blast)
    click.echo(f"  models    versions that learned from it: {versions}")
    named = [
        f"version {version} read {', '.join(f'{table} {v}' for table, v in tables.items())}"
        for version, tables in blast["learned"].items()
    ]
    if named:
        more = f"; {len(named) - SHOWN} earlier ones in --json" if named[SHOWN:] else ""
        click.echo(f"            {'; '.join(named[-SHOWN:])}{more}")
    moved = blast["restored"] != blast["champion"]
    then = f"version {blast['champion']} -> {blast['restored']}" if moved else "stays"
    click.echo(f"  champion  {then}")
    if "relearned" in blast:
        made = blast["relearned"]
        click.echo(f"  retrained without it: {made['outcome']}: {made['reasons'][0]}")
    if blast["note"]:
        click.secho(f"  {blast['note']}", fg="red")


def _say_versions(blast: dict[str, Any]) -> None:
    """Which versions of each table hold any of it."""
    for i, (name, one) in enumerate(blast["tables"].items()):
        click.echo(f"  {'' if i else 'versions':<8}  {name}: {one['said']}")
    by = blast["left_out_by"]
    then = "once revoked, training leaves it out"
    if by is not None:
        then = f"training leaves it out, by version {by} of revocations"
    click.echo(f"{'':12}nothing is removed, so later versions hold it too; {then}")


def _span(space: Workspace, reach: Reach) -> str:
    """What of a source is revoked, in words."""
    from ratchet.contracts.revocation import show_where

    rows = f"rows with {show_where(reach.where)} " if reach.where else ""
    if reach.object is not None:
        return f"{rows + 'of ' if rows else ''}object {reach.object[:12]} revoked"
    show = space.calendar.clock.show
    since = show(max(reach.known_from, space.calendar.origin))
    until = "" if reach.known_until is None else f" until {show(reach.known_until)}"
    return f"{rows}revoked from {since}{until}"
