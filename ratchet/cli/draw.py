"""``ratchet draw``: which rows are to be confirmed, as a file to fill in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ratchet.cli.look import only_pipeline

if TYPE_CHECKING:
    import pyarrow as pa


@click.command()
@click.argument("window", required=False)
@click.option("-p", "--pipeline")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .jsonl or .parquet file; left out: JSON Lines to the terminal.",
)
def draw(window: str | None, pipeline: str | None, out: Path | None) -> None:
    """Draw the rows of WINDOW (left out: the newest decided) that are to be confirmed.

    Look each up where the stream's senders cannot write, correct what differs, fill in the label,
    leave out what does not exist, and put the file where trusted.objects looks for it.
    """
    from ratchet.errors import NotFound
    from tasks.confirm import ask
    from tasks.decisions import last_decided
    from tasks.workspace import open_workspace

    space = open_workspace(only_pipeline(pipeline))
    if out is not None and out.suffix not in (".jsonl", ".parquet"):
        raise click.UsageError(f"--out {out}: expected a name that ends in .jsonl or .parquet")
    if window is None:
        newest = last_decided(space)
        if newest is None:
            raise NotFound("no window is decided yet: name the one to draw from")
        asked = ask(space, space.calendar.window(newest))
    else:
        asked = ask(space, space.calendar.parse(window))
    _write(asked.rows, out)
    share = asked.drawn / asked.landed
    said = (
        f"{space.calendar.label(asked.window)}: {asked.drawn:,} of {asked.landed:,} rows drawn "
        f"({share:.1%}), {asked.confirmed:,} confirmed so far, {asked.rows.num_rows:,} to confirm"
    )
    click.echo(f"{said}{f': {out}' if out else ''}", err=out is None)


def _write(rows: pa.Table, out: Path | None) -> None:
    import pyarrow.parquet as pq

    if out is not None and out.suffix == ".parquet":
        pq.write_table(rows, out)
        return
    lines = [json.dumps(row) for row in rows.to_pylist()]
    if out is not None:
        out.write_text("".join(f"{line}\n" for line in lines))
        return
    for line in lines:
        click.echo(line)
