"""What a revocation reaches: the object or the rows that are meant, told apart from the rest.

>>> masked(workspace, labels, revoked)                                          # doctest: +SKIP
array([False,  True, ...])

A label carries no features, so a condition on columns is looked up in the row that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import ratchet.contracts.revocation as core
from ratchet.contracts.columns import ACCEPTED, KEY, OBJECT, OBJECTS, SOURCE
from ratchet.errors import NotFound

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from tasks.workspace import Workspace

SHOWN = 20  # names in an error
DIGEST = 8  # digits of a SHA-256 that name an object


def masked(
    workspace: Workspace, table: pa.Table, reaches: Iterable[core.Reach]
) -> NDArray[np.bool_]:
    """Which rows or labels of a table are revoked, shape (rows,).

    ``table`` has ``_key``, ``_source``, ``_known`` and ``_object``; accepted rows are read only
    where it lacks a column that a condition names.
    """
    reaches = tuple(reaches)
    columns = core.where_columns(reaches)
    if not set(columns) <= set(table.column_names):
        rows = workspace.tables.read(ACCEPTED, [KEY, *columns])
        table = core.with_cells(table, rows, columns)
    return core.revoked_mask(table, reaches)


def object_named(workspace: Workspace, name: str) -> core.Reach:
    """One object that landed, by its key (the newest of that key) or the start of its SHA-256.

    Raises:
        NotFound: no such object, or the digest's start fits several.
    """
    columns = ["source", "object_key", "sha256", "status"]
    lines = workspace.landing_tables.read(OBJECTS, columns).to_pylist()
    landed = [line for line in lines if line["status"] == "landed"]
    found = [line for line in landed if line["object_key"] == name][-1:]
    if not found and len(name) >= DIGEST:
        found = [line for line in landed if line["sha256"].startswith(name.lower())]
    if len(found) != 1:
        raise NotFound(
            f"object {name!r}: expected one object that landed, by its key or at least {DIGEST} "
            f"digits of its SHA-256; found {len(found)} of {len(landed)}"
        )
    return core.Reach(found[0]["source"], object=found[0]["sha256"])


def check_reached(
    tables: Sequence[pa.Table], masks: Sequence[NDArray[np.bool_]], reach: core.Reach
) -> None:
    """Refuse a revocation of nothing.

    Raises:
        NotFound: nothing was accepted from such a source or object, or no row of it holds what the
            conditions say.
    """
    column = SOURCE if reach.object is None else OBJECT
    wanted = reach.source if reach.object is None else reach.object
    seen = sorted({s for t in tables for s in t[column].unique().to_pylist()})
    if wanted not in seen:
        kind = "source" if reach.object is None else "object"
        raise NotFound(f"{kind} {wanted!r}: nothing was accepted from it; found {_some(seen)}")
    if reach.where and not any(mask.any() for mask in masks):
        whole = core.Reach(reach.source, reach.known_from, reach.known_until, reach.object)
        mine = [t.filter(core.revoked_mask(t, [whole])) for t in tables]
        held = {
            name: sorted({v for t in mine for v in t[name].unique().to_pylist() if v is not None})
            for name, _ in reach.where
        }
        said = "; ".join(f"its {name}: {_some(values)}" for name, values in held.items())
        raise NotFound(f"{reach.show()}: none was accepted; {said}")


def _some(values: Sequence[object]) -> str:
    return f"{list(values[:SHOWN]) or 'none'}{' ...' if values[SHOWN:] else ''}"
