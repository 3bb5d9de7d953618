"""``ratchet suite``: the rules of a pipeline's data, and what they must become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.look import only_pipeline
from ratchet.settings import quiet_logs

if TYPE_CHECKING:
    from ratchet.profile import Change


@click.group()
def suite() -> None:
    """The rules of the data: show them, and change them where the world has moved."""


@suite.command()
@click.option("-p", "--pipeline")
@click.option("--json", "as_json", is_flag=True)
def show(pipeline: str | None, as_json: bool) -> None:
    """Every rule with its number, its level and its reason."""
    from tasks.workspace import open_workspace

    space = open_workspace(only_pipeline(pipeline))
    rules = space.suite["expectations"]
    if as_json:
        click.echo(json.dumps(space.suite))
        return
    for number, rule in enumerate(rules):
        meta = rule.get("meta") or {}
        columns = [str(v) for k, v in rule["kwargs"].items() if k.startswith("column")]
        kind = rule["type"].removeprefix("expect_")
        click.secho(f"{number:3d}  {kind}  {' '.join(columns)[:60]}", bold=True)
        click.echo(f"     {meta.get('level', '?')}: {meta.get('reason', 'no reason given')}")
    click.echo(f"{len(rules)} rules in {space.definition.validate_.suite}")


@suite.command()
@click.option("-p", "--pipeline")
@click.option("--windows", "recent", default=8, show_default=True, type=click.IntRange(1, 520))
@click.option("--json", "as_json", is_flag=True)
def diff(pipeline: str | None, recent: int, as_json: bool) -> None:
    """The rules that recent windows break, and how each would have to read. Changes nothing.

    Trusted rows are believed where the pipeline has some, else whatever landed.
    """
    quiet_logs()
    from tasks.suite import propose
    from tasks.workspace import open_workspace

    space = open_workspace(only_pipeline(pipeline))
    found = propose(space, recent)
    if as_json:
        click.echo(json.dumps(found.as_json(), default=str))
        return
    who = "trusted rows" if found.trusted else "rows as they landed; nobody vouches for them"
    click.echo(f"{found.rows:,} {who}, {found.windows[0]} to {found.windows[-1]}")
    for change in found.changes:
        _say(space.suite["expectations"][change.index]["kwargs"], change)
    if not found.changes:
        click.echo("They break no rule.")
    elif any(c.kwargs is not None for c in found.changes):
        click.echo("To accept: ratchet suite accept [NUMBER ...] --by NAME --reason TEXT")


@suite.command()
@click.argument("numbers", nargs=-1, type=click.IntRange(0))
@click.option("-p", "--pipeline")
@click.option("--windows", "recent", default=8, show_default=True, type=click.IntRange(1, 520))
@click.option("--by", required=True, help="Who decides; recorded in the suite.")
@click.option("--reason", required=True, help="Why; recorded in the suite.")
def accept(
    numbers: tuple[int, ...], pipeline: str | None, recent: int, by: str, reason: str
) -> None:
    """Write the changes that diff shows to the suite: of rules NUMBERS, or all of them."""
    quiet_logs()
    from tasks.suite import accept as write
    from tasks.suite import propose
    from tasks.workspace import open_workspace

    space = open_workspace(only_pipeline(pipeline))
    path, made = write(space, propose(space, recent), numbers, by=by, reason=reason)
    for change in made:
        _say(space.suite["expectations"][change.index]["kwargs"], change)
    rules = "rule" if len(made) == 1 else "rules"
    click.echo(
        f"Changed {len(made)} {rules} in {path}. Quarantined rows stay there until released."
    )


def _say(before: dict[str, Any], change: Change) -> None:
    click.secho(f"{change.index:3d}  {change.name}", bold=True)
    click.echo(f"     {change.why}")
    if change.kwargs is None:
        click.secho("     a person has to write this one", fg="yellow")
        return
    for key, value in change.kwargs.items():
        old = before.get(key)
        if old == value:
            continue
        if isinstance(value, list) and isinstance(old, list):
            added = [v for v in value if v not in old]
            gone = [v for v in old if v not in value]
            click.echo("".join(f"     {key} + {_short(v)}\n" for v in added[:10]), nl=False)
            click.echo("".join(f"     {key} - {_short(v)}\n" for v in gone[:10]), nl=False)
            continue
        click.secho(f"     - {key} {_short(old)}", fg="red")
        click.secho(f"     + {key} {_short(value)}", fg="green")


def _short(value: Any) -> str:
    return json.dumps(value)[:120]
