"""``ratchet quarantine``: what was blocked, kept whole, until a person decides."""

from __future__ import annotations

import json

import click

from ratchet.cli.look import only_pipeline


@click.group()
def quarantine() -> None:
    """What was blocked, with its evidence; release it or discard it."""


@quarantine.command("list")
@click.option("-p", "--pipeline")
@click.option("--all", "everything", is_flag=True, help="Also what was released or discarded.")
@click.option("--json", "as_json", is_flag=True)
def list_entries(pipeline: str | None, everything: bool, as_json: bool) -> None:
    """The entries that wait for a person."""
    from tasks.quarantine import entries
    from tasks.workspace import open_workspace

    found = entries(open_workspace(only_pipeline(pipeline)), only_open=not everything)
    if as_json:
        click.echo(json.dumps(found))
        return
    for entry in found:
        click.secho(entry["entry"], bold=True)
        click.echo(f"  {entry['rows']:,} x {entry['kind']}, {entry['status']}: {entry['reason']}")
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
    from tasks.quarantine import lines
    from tasks.workspace import open_workspace

    found = lines(open_workspace(only_pipeline(pipeline)), entry)
    if as_json:
        for one in found:
            click.echo(json.dumps(one))
        return
    first = found[0]
    click.echo(f"{entry}: {len(found):,} {first['kind']} lines, {first['status']}")
    click.echo(f"  reason    {first['reason']}")
    click.echo(f"  evidence  {first['evidence']}")
    for one in found[:rows]:
        click.echo(f"  {one['object_key'] or one['object']}#{one['row']}  {one['payload']}")


def _act(entry: str, pipeline: str | None, action: str, by: str, reason: str) -> None:
    from tasks.quarantine import act
    from tasks.workspace import open_workspace

    rows = act(open_workspace(only_pipeline(pipeline)), entry, action, by=by, reason=reason)
    click.echo(f"{entry}: {rows:,} lines {action}")


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
