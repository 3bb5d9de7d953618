"""Rows to be confirmed: drawn where no sender can foresee it, for a person or another system.

>>> asked = ask(workspace, workspace.calendar.parse("2013-03-26"))              # doctest: +SKIP
>>> asked.drawn, asked.confirmed, asked.rows.num_rows                           # doctest: +SKIP
(647, 97, 550)

A keyed hash of the key decides, under a secret of its own: the same rows whoever asks and however
often, late ones too, and none because it is sealed or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet import ingest as core
from ratchet.contracts.columns import EVENT, KEY, LANDED, TRUSTED
from ratchet.contracts.sealed import Seal
from ratchet.errors import NotFound, Refused

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.clock import Window
    from tasks.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be confirmed of one window.

    Attributes:
        window: the window of events.
        landed: how many rows of it have landed.
        drawn: how many of these are to be confirmed.
        confirmed: how many of those are among the trusted rows already.
        rows: the others as an object of ``trusted.objects`` holds them, with the features as they
            landed and the label left out.
    """

    window: Window
    landed: int
    drawn: int
    confirmed: int
    rows: pa.Table


def ask(workspace: Workspace, window: Window) -> Asked:
    """Draw the rows of a window that are to be confirmed, whether they were accepted or not.

    Raises:
        Refused: the pipeline declares no share to be confirmed, or no key to find a row by.
        NotFound: no row of the window has landed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    definition, tables = workspace.definition, workspace.landing_tables
    if definition.trusted is None or definition.trusted.confirm is None:
        raise Refused(
            f"{workspace.name} declares no share of its rows to be confirmed: put 'confirm = 0.1' "
            "under [trusted]"
        )
    if not definition.source.key or not definition.trusted.keyed:
        raise Refused(f"{workspace.name}: rows are confirmed by key; declare source.key, and keyed")
    columns = [KEY, EVENT, *definition.features]
    rows = tables.read(LANDED, columns, (window.index, None))
    if rows.num_rows:
        at = workspace.calendar.indices_of(rows[EVENT].to_numpy())
        rows = rows.filter(pa.array(at == window.index))
    if not rows.num_rows:
        raise NotFound(f"{workspace.calendar.label(window)}: no row of this window has landed")
    first = rows.append_column("row", pa.array(range(rows.num_rows))).group_by(KEY)
    rows = rows.take(first.aggregate([("row", "min")])["row_min"].sort())
    drawn = rows.filter(pa.array(_draw(workspace, definition.trusted.confirm).mask(rows[KEY])))
    trusted = tables.read(TRUSTED, [KEY], keys=drawn[KEY])
    left = drawn
    if trusted.num_rows:
        left = drawn.filter(pc.invert(pa.array(core.find_keys(drawn[KEY], trusted[KEY]))))
    return Asked(
        window,
        rows.num_rows,
        drawn.num_rows,
        drawn.num_rows - left.num_rows,
        _as_trusted(workspace, left),
    )


def _draw(workspace: Workspace, share: float) -> Seal:
    return Seal(workspace.seal_secret + b"/confirm", share)


def _as_trusted(workspace: Workspace, rows: pa.Table) -> pa.Table:
    """The rows under the names and in the order in which an object of trusted rows has them."""
    import pyarrow as pa

    definition = workspace.definition
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    parts = [core.split_key(key, len(definition.source.key)) for key in rows[KEY].to_pylist()]
    for i, name in enumerate(definition.source.key):
        columns[name] = pa.array([part[i] for part in parts], pa.string())
    clock = workspace.calendar.clock
    times = rows[EVENT].to_pylist()
    shown = times if clock.kind == "integer" else [_moment(clock.show(t)) for t in times]
    columns.setdefault(definition.time.column, pa.array(shown))
    for name in definition.features:
        columns.setdefault(name, rows[name])
    label = definition.label
    for name in (label.column, *([label.known_column] if label.known_column else [])):
        columns[name] = pa.nulls(rows.num_rows, pa.string())
    return pa.table(columns)


def _moment(shown: str) -> str:
    """A time with its hour, also at midnight: a column of dates and times is neither."""
    return shown if "T" in shown else f"{shown}T00:00:00Z"
