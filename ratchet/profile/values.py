"""What the person asked for, what was found, and the few facts about a column that decide."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.contracts.clock import ClockKind
from ratchet.errors import DefinitionError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SHOWN = 40  # characters of a value or name that a sentence shows


@dataclass(frozen=True)
class InitOptions:
    """What the person said; None is to be inferred.

    Attributes:
        name: of the pipeline; see :func:`name_from`.
        path: the file, or the directory of files, that was profiled.
        label: the column to predict.
        time: the column of event time.
        key: the column that identifies a row.
        window: length, such as ``7d``, or ``500`` on an integer column.
        label_delay: how long after the event a label is mature.
        label_time: the column that says when a label became known.
        objective: binary, multiclass or regression.
        ignore: columns that are not learned from, as they will not be there when it counts.
        is_file: whether ``path`` is one file; left out, a path with an ending is one.
    """

    name: str
    path: Path
    label: str
    time: str | None = None
    key: str | None = None
    window: str | None = None
    label_delay: str | None = None
    label_time: str | None = None
    objective: str | None = None
    ignore: tuple[str, ...] = ()
    is_file: bool | None = None


@dataclass(frozen=True)
class Timeline:
    """The event time: its column, how it counts, and how it is cut.

    ``ticks`` has shape (rows,), int64; ``valid`` says which of them are times at all.
    """

    column: str
    kind: ClockKind
    zone: str | None
    window: str
    origin: str
    length: int
    windows: int
    ticks: NDArray[np.int64]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Target:
    """The label: its objective and classes in the order of the class index."""

    column: str
    objective: str
    classes: tuple[Any, ...]
    labelled_share: float


@dataclass(frozen=True)
class Inferred:
    """All that :func:`~ratchet.profile.infer` decided, and the sentences that say why.

    ``new_values`` are the categories of which most of a window may be new, such as a month's name.
    """

    name: str
    landing: str
    glob: str
    key: str | None
    time: Timeline
    target: Target
    label_delay: str
    label_time: str | None
    features: dict[str, str]
    ignored: dict[str, str]
    slices: tuple[str, ...]
    new_values: tuple[str, ...]
    rows: int
    sentences: tuple[str, ...]

    @property
    def rows_per_window(self) -> int:
        """Mean number of rows in a window, at least 1."""
        return max(1, self.rows // max(1, self.time.windows))


def name_from(text: str) -> str:
    """A pipeline's name from a file's: lower case, letters, digits, ``_`` and ``-``.

    >>> name_from("Bank Marketing (2)")
    'bank_marketing_2'
    """
    name = re.sub(r"[^a-z0-9-]+", "_", text.lower()).strip("_-")
    if not name:
        return "pipeline"
    return (name if name[0].isalpha() else f"p_{name}")[:63]


def column_of(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    """A column by name, without dictionary encoding; blank text counts as missing.

    Raises:
        DefinitionError: there is none, or more than one, of that name.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    count = table.column_names.count(name)
    if count != 1:
        found = "more than one column of that name" if count else f"columns {table.column_names}"
        raise DefinitionError(f"{what} {shown(name)}: expected one such column, found {found}")
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = pc.cast(column, pa.string())
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column


def is_number(kind: pa.DataType) -> bool:
    """Integers, floats and decimals."""
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def is_whole(column: pa.ChunkedArray) -> bool:
    """Whether every value that is there is an integer, whatever the column's type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type):
        return True
    if not is_number(column.type):
        return False
    values = pc.cast(column, pa.float64())
    return bool(pc.all(pc.equal(values, pc.floor(values))).as_py() is not False)


def shown(value: object) -> str:
    """A value in a sentence: quoted, escaped, at most 40 characters."""
    text = str(value) if not isinstance(value, str) else value[: SHOWN + 1]
    clipped = text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
    return ascii(clipped) if not clipped.isprintable() else f"'{clipped}'"
