"""``ratchet quarantine``: what was blocked, kept whole, until a person decides."""

from __future__ import annotations

import json
from typing import Any

import click

from ratchet.cli.look import only_pipeline


@click.group()
def quarantine() -> None:
    """What was blocked, with its evidence; release it or discard it."""


def _lines(count: int) -> str:
    return f"{count:,} line" + ("" if count == 1 else "s")


def _counted(count: int, kind: str) -> str:
    """Such as ``3 labels``; a row or object that is named alone is not the whole batch."""
    if kind == "batch":
        return f"the whole batch, {_counted(count, 'row')}"
    noun = "trusted row" if kind == "trusted" else kind
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _decided(line: dict[str, Any]) -> str:
    """Who released or discarded an entry, and why."""
    return f"{line['status']} by {line['by']}: {line['reason']}"


@quarantine.command("list")
@click.option("-p", "--pipeline")
@click.option("--all", "everything", is_flag=True, help="Also what was released or discarded.")
@click.option("--json", "as_json", is_flag=True)
def list_entries(pipeline: str | None, everything: bool, as_json: bool) -> None:
    """The entries that wait for a person."""
    from tasks.quarantine import OPEN, entries
    from tasks.workspace import open_workspace

    found = entries(open_workspace(only_pipeline(pipeline)), only_open=not everything)
    if as_json:
        click.echo(json.dumps(found))
        return
    for entry in found:
        click.secho(entry["entry"], bold=True)
        count = _counted(entry["rows"], entry["kind"])
        click.echo(f"  {count} of window {entry['window']}, {entry['status']}: {entry['found']}")
        if entry["status"] != OPEN:
            click.echo(f"  {_decided(entry)}")
    click.echo(
        "\nNext: ratchet quarantine show|release|discard ENTRY (the beginning of its name will do)"
        if found
        else "Nothing waits in quarantine."
    )


@quarantine.command()
@click.argument("entry")
@click.option("-p", "--pipeline")
@click.option("--rows", default=5, show_default=True, help="How many rows to show.")
@click.option("--json", "as_json", is_flag=True, help="Every row as one JSON object a line.")
def show(entry: str, pipeline: str | None, rows: int, as_json: bool) -> None:
    """The evidence and the rows of ENTRY."""
    from tasks.quarantine import OPEN, lines
    from tasks.workspace import open_workspace

    found = lines(open_workspace(only_pipeline(pipeline)), entry)
    if as_json:
        for one in found:
            click.echo(json.dumps(one))
        return
    held = [one for one in found if one["status"] == OPEN]
    first, last = held[0], found[-1]
    click.echo(f"{first['entry']}: {_counted(len(held), first['kind'])}, {last['status']}")
    if last["status"] != OPEN:
        click.echo(f"  decided   {_decided(last)} ({last['at']})")
    click.echo(f"  reason    {first['reason']}")
    click.echo(f"  evidence  {first['evidence']}")
    for one in held[:rows]:
        place = f"{one['object_key'] or one['object']}#{one['row']}"
        # As JSON writes it: a key that was refused may hold what a terminal obeys.
        key = [json.dumps(one["key"])[1:-1]] if one["key"] else []
        click.echo("  ".join(["", place, *key, one["payload"]]))


def _act(entry: str, pipeline: str | None, action: str, by: str, reason: str) -> None:
    from tasks.quarantine import act
    from tasks.workspace import open_workspace

    rows = act(open_workspace(only_pipeline(pipeline)), entry, action, by=by, reason=reason)
    click.echo(f"{entry}: {_lines(rows)} {action}")


_by = click.option("--by", required=True, help="Who decides; recorded.")
_reason = click.option("--reason", required=True, help="Why; recorded.")


@quarantine.command()
@click.argument("entry")
@click.option("-p", "--pipeline")
@_by
@_reason
def release(entry: str, pipeline: str | None, by: str, reason: str) -> None:
    """Let ENTRY's rows be learned from, from the next window on."""
    _act(entry, pipeline, "released", by, reason)


@quarantine.command()
@click.argument("entry")
@click.option("-p", "--pipeline")
@_by
@_reason
def discard(entry: str, pipeline: str | None, by: str, reason: str) -> None:
    """Close ENTRY for good; its rows stay stored."""
    _act(entry, pipeline, "discarded", by, reason)
