"""Decides which columns a model may learn from, as what, and why the others are left out."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.sections import Train
from ratchet.profile.values import column_of, is_number, is_whole, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

EXACT = 2**24  # integers above it collide in the model's float32
MAX_CATEGORIES = Train().max_categories
LONG_TEXT, CELL = 60, 10_000  # mean length from which text is prose; longest cell ingest takes
_ID = re.compile(r"(^|_)(id|key|uuid|guid|number|no|nr)$")
_UNSAFE = (  # as ingest has it: control and bidi characters
    r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\x{061C}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]"
)


@dataclass(frozen=True)
class Chosen:
    """Features by kind, what was left out and why, and what else the person should know."""

    kinds: dict[str, str]
    ignored: dict[str, str]
    said: list[str]


def choose_features(
    table: pa.Table,
    taken: set[str],
    label: pa.ChunkedArray,
    ticks: NDArray[np.int64],
    ignore: Collection[str] = (),
) -> Chosen:
    """Features among the columns that are not ``taken`` (label, time, key).

    Args:
        table: the sample, shape (rows, columns).
        taken: columns with another role.
        label: the label column, to find its copies.
        ticks: event time of the rows, shape (rows,), to find what only counts time.
        ignore: columns that are left out because somebody said so.
    """
    import numpy as np

    chosen, order = Chosen({}, {}, []), np.argsort(ticks, kind="stable")
    for name in dict.fromkeys(table.column_names):
        if name in taken:
            continue
        if table.column_names.count(name) > 1 or name.startswith("_"):
            chosen.ignored[name] = "its name stands twice, or starts with '_', which is Ratchet's"
            continue
        if name in ignore:
            chosen.ignored[name] = "as you asked"
            continue
        column = column_of(table, name, "column")
        kind, why = _kind(name, column, label)
        if kind == "number" and _only_rises(column, order):
            kind, why = None, "only ever rises with time: no value that was learned comes again"
        if kind is None:
            chosen.ignored[name] = why
            continue
        chosen.kinds[name] = kind
        chosen.said.extend(_warnings(name, kind, column))
    if chosen.ignored:
        named = "; ".join(f"{shown(n)} ({why})" for n, why in chosen.ignored.items())
        chosen.said.append(f"Left out: {named}.")
    return chosen


def infer_key(table: pa.Table, taken: set[str]) -> str | None:
    """A column named like an identifier that is unique and never missing, or None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names: list[str] = table.column_names
    for name in names:
        if name in taken or not _ID.search(name.lower()) or table.column_names.count(name) > 1:
            continue
        column = column_of(table, name, "column")
        fits = pa.types.is_integer(column.type) or pa.types.is_string(column.type)
        if fits and not column.null_count and pc.count_distinct(column).as_py() == len(column):
            return name
    return None


def _kind(name: str, column: pa.ChunkedArray, label: pa.ChunkedArray) -> tuple[str | None, str]:
    """The kind of a feature, or None and why the column is left out."""
    import pyarrow as pa

    text, truth = pa.types.is_string(column.type), pa.types.is_boolean(column.type)
    if column.null_count == len(column):
        return None, "never has a value"
    if not (text or truth or is_number(column.type)):
        return None, f"holds {column.type}, neither numbers nor text"
    if why := _useless(name, column, label, text):
        return None, why
    return ("category", "") if text or truth else ("number", "")


def _useless(name: str, column: pa.ChunkedArray, label: pa.ChunkedArray, text: bool) -> str:
    import pyarrow.compute as pc

    present = len(column) - column.null_count
    distinct = int(pc.count_distinct(column, mode="only_valid").as_py())
    if distinct == 1 and not column.null_count:
        return "always has the same value"
    if distinct == present and present > 50 and (text or _counts_rows(name, column)):
        return "differs in every row, like an identifier"
    if _copies(column, label):
        return "tells the label: the model would only repeat it"
    return _prose(column, distinct) if text else ""


def _counts_rows(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a column of distinct integers is named like an identifier, or rises row by row."""
    import numpy as np

    if not is_whole(column):
        return False
    return bool(_ID.search(name.lower())) or bool(
        (np.diff(column.drop_null().to_numpy()) > 0).all()
    )


def _only_rises(column: pa.ChunkedArray, order: NDArray[np.int64]) -> bool:
    """Whether a column of many whole numbers never decreases in the order of time."""
    import numpy as np

    if column.null_count or not is_whole(column):
        return False
    values = column.to_numpy()[order]
    return bool((np.diff(values.astype(float)) >= 0).all()) and len(np.unique(values)) > 10


def _prose(column: pa.ChunkedArray, distinct: int) -> str:
    import pyarrow.compute as pc

    lengths = pc.utf8_length(column)
    if pc.max(lengths).as_py() > CELL:
        return f"holds texts of more than {CELL} characters"
    if pc.mean(lengths).as_py() > LONG_TEXT:
        return "holds long texts, not categories"
    if distinct > MAX_CATEGORIES:
        return f"{distinct} different texts are more than {MAX_CATEGORIES} categories"
    return ""


def _copies(column: pa.ChunkedArray, label: pa.ChunkedArray) -> bool:
    """Whether one value of the column always goes with one value of the label, both ways."""
    import pyarrow as pa
    import pyarrow.compute as pc

    both = pc.and_(pc.is_valid(column), pc.is_valid(label))
    pairs = pa.table({"a": column, "b": label}).filter(both)
    if pairs.num_rows < 20:
        return False
    a, b = (pc.count_distinct(pairs[n]).as_py() for n in ("a", "b"))
    if b < 2 or a != b or (a == pairs.num_rows and not _same(pairs)):
        return False
    return bool(pairs.group_by(["a", "b"]).aggregate([]).num_rows == a)


def _same(pairs: pa.Table) -> bool:
    """For labels that differ in every row: whether the column is the label up to scale."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not all(is_number(pairs[n].type) for n in ("a", "b")):
        return False
    a, b = (pc.cast(pairs[n], pa.float64()).to_numpy() for n in ("a", "b"))
    return bool(abs(np.corrcoef(a, b)[0, 1]) > 0.999999)


def _warnings(name: str, kind: str, column: pa.ChunkedArray) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "number":
        values = pc.cast(column, pa.float64(), safe=False)
        large = pc.and_(pc.greater(pc.abs(values), EXACT), pc.equal(pc.floor(values), values))
        if count := pc.sum(large).as_py():
            return [
                f"{shown(name)} holds {count} integers above 2^24 = {EXACT}: neighbours become one "
                "number in the model. If it is an identifier, make it a category or drop it."
            ]
        return []
    if pa.types.is_string(column.type) and (
        count := pc.sum(pc.match_substring_regex(column, _UNSAFE)).as_py()
    ):
        return [
            f"{shown(name)} holds control or bidi characters in {count} rows: ingest will "
            "quarantine those rows."
        ]
    return []


def choose_slices(table: pa.Table, kinds: dict[str, str]) -> tuple[str, ...]:
    """Up to two categories of 2 to 12 values of which the second is common: groups to protect."""
    import pyarrow.compute as pc

    found = []
    for position, (name, kind) in enumerate(kinds.items()):
        if kind != "category":
            continue
        counts = pc.value_counts(column_of(table, name, "column").drop_null())
        sizes = sorted((c["counts"] for c in counts.to_pylist()), reverse=True)
        if 2 <= len(sizes) <= 12 and sizes[1] >= 0.1 * table.num_rows:
            found.append((-sizes[1], position, name))
    return tuple(name for _, _, name in sorted(found)[:2])
