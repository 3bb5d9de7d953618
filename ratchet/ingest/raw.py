"""An object's columns before they are typed.

>>> Raw({}, rows=[]).notes                                              # doctest: +SKIP
{}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ratchet.errors import Unreadable
from ratchet.ingest.values import names_shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MAX_COLUMNS = 20_000


@dataclass(frozen=True)
class Raw:
    """Columns as the format gave them.

    Attributes:
        columns: name to a column of any Arrow type; all of one length.
        rows: shape (length,): the row number of each row inside the object.
        text: True where strings may stand for numbers and times (CSV, JSON).
        misshapen: (row number, reason, text) of rows that are no rows of this table.
        notes: see :class:`ratchet.ingest.Parsed`.
    """

    columns: dict[str, pa.ChunkedArray]
    rows: NDArray[np.int64]
    text: bool
    misshapen: tuple[tuple[int, str, str], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def check_columns(names: list[str]) -> None:
    """Refuse names that stand twice, or too many of them.

    Raises:
        Unreadable: naming them.
    """
    if len(names) > MAX_COLUMNS:
        raise Unreadable(f"{len(names)} columns, allowed are {MAX_COLUMNS}")
    if len(set(names)) != len(names):
        twice = sorted(n for n, count in Counter(names).items() if count > 1)
        raise Unreadable(f"columns stand twice: {names_shown(twice)}; rename one of each")
