"""``ratchet init`` and ``ratchet demo``: the first minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ratchet.cli.run import run_backfill

DEMO_WEEKS = 14


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--label", required=True, help="The column to predict.")
@click.option("--time", help="A timestamp, a date or an increasing integer; left out: inferred.")
@click.option("--key", help="The row's key; left out: inferred, else the row number.")
@click.option("--name", help="The pipeline's name; left out: the file's.")
@click.option("--window", help="Such as 7d, or 500 on an integer column; left out: inferred.")
@click.option("--label-delay", help="How long after the event a label is known: 2d, 2w, 0.")
@click.option("--label-time", help="The column that says when each label became known.")
@click.option("--objective", type=click.Choice(["binary", "multiclass", "regression"]))
@click.option("--ignore", multiple=True, help="A column that is not learned from; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite the pipeline of this name.")
def init(
    path: Path,
    label: str,
    time: str | None,
    key: str | None,
    name: str | None,
    window: str | None,
    label_delay: str | None,
    label_time: str | None,
    objective: str | None,
    ignore: tuple[str, ...],
    force: bool,
) -> None:
    """Write a pipeline for the data in PATH: Parquet, CSV or JSON Lines, a file or a directory."""
    from ratchet import profile
    from ratchet.adapters.samples import read_samples
    from ratchet.contracts.definition import check_name
    from ratchet.settings import settings

    if name:
        check_name(name, "--name")
    table = read_samples(path)
    asked = profile.InitOptions(
        name=name or profile.name_from(path.stem),
        path=path.resolve(),
        is_file=path.is_file(),
        label=label,
        time=time,
        key=key,
        window=window,
        label_delay=label_delay,
        label_time=label_time,
        objective=objective,
        ignore=ignore,
    )
    inferred = profile.infer(table, asked)
    home = settings().home
    suite = home / "expectations" / f"{inferred.name}.json"
    pipeline = home / "pipelines" / f"{inferred.name}.toml"
    for target in (pipeline, suite):
        if target.exists() and not force:
            raise click.UsageError(f"{target} exists; choose another --name, or add --force")
        target.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(profile.suite_text(profile.suite_json(inferred, table)), "utf-8")
    pipeline.write_text(profile.pipeline_toml(inferred), "utf-8")
    for sentence in profile.sentences(inferred):
        click.echo(f"- {sentence}")
    click.echo(f"\nWrote {pipeline} and {suite}. Read them; they are yours to change. Next:\n")
    click.echo(f"    ratchet backfill {inferred.name}")


@click.command()
@click.option("--weeks", default=DEMO_WEEKS, show_default=True, type=click.IntRange(4, 52))
def demo(weeks: int) -> None:
    """Run the loop over real flights of 2013, three damaged weeks included."""
    from ratchet.adapters.nycflights import land
    from ratchet.settings import settings
    from tasks.workspace import open_workspace

    workspace = open_workspace("flights")
    click.echo("Ratchet over the flights out of New York in 2013: will one arrive 15 minutes late?")
    landed = land(settings().home / workspace.definition.source.landing)
    click.echo(
        f"{landed.rows:,} flights and {landed.labels:,} labels in {landed.files} files; a week's "
        "labels come a week later. Damaged on purpose:"
    )
    for week, damage in landed.damaged:
        click.echo(f"  {week}  {damage}")
    click.echo(f"\n{weeks} windows, one line each. Starting Prefect's in-process API (20 s) ...\n")
    calendar = workspace.calendar
    end = calendar.label(calendar.window(weeks))
    made = run_backfill("flights", None, end)
    if not made:
        click.echo("Every window of the demo is decided already: there was nothing to do.")
    last = calendar.label(calendar.window(weeks - 1))
    ratchet = f"{Path(sys.executable).parent.name}/ratchet"
    folder = Path(sys.executable).parents[1].name
    click.echo(
        f"\nOpen the MLflow UI:     {folder}/{ratchet} ui"
        f"\nOpen a drift report:    {folder}/{ratchet} report {last} -p flights"
        "\n\nAlso: ratchet status | ratchet explain 2013-03-05 -p flights | ratchet quarantine list"
    )
