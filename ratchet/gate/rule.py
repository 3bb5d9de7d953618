"""A slice as a rule that a person reads and a later cycle can apply.

>>> str(Rule((Condition("carrier", value="AA"), Condition("dep_hour", low=5.0, high=8.0))))
'carrier=AA and dep_hour in [5, 8)'

Promise: the rule that is written down holds for the same rows as the one that was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import as_numbers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """One feature's value, range ``[low, high)`` (None: open), or absence where all are None."""

    column: str
    value: str | None = None
    low: float | None = None
    high: float | None = None

    @property
    def missing(self) -> bool:
        """Whether it holds for rows without a value."""
        return self.value is None and self.low is None and self.high is None

    def mask(self, rows: pa.Table) -> Mask:
        """Shape (rows,): where it holds; nowhere if the column is gone."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.column not in rows.column_names:
            return np.zeros(rows.num_rows, dtype=bool)
        column = rows[self.column]
        if self.value is not None:
            found = pc.fill_null(pc.equal(pc.cast(column, pa.string()), self.value), False)
            return np.asarray(found.to_numpy(), dtype=bool)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return np.asarray(pc.is_null(column).to_numpy(), dtype=bool) & self.missing
        numbers = as_numbers(column)
        if self.missing:
            return np.asarray(np.isnan(numbers))
        found = ~np.isnan(numbers)
        if self.low is not None:
            found &= numbers >= self.low
        if self.high is not None:
            found &= numbers < self.high
        return np.asarray(found)

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.column}={self.value}"
        if self.missing:
            return f"{self.column} is missing"
        if self.low is None:
            return f"{self.column} < {self.high:.12g}"
        if self.high is None:
            return f"{self.column} >= {self.low:.12g}"
        return f"{self.column} in [{self.low:.12g}, {self.high:.12g})"


@dataclass(frozen=True)
class Rule:
    """Conditions that all hold: one, or two of different features."""

    conditions: tuple[Condition, ...]

    def mask(self, rows: pa.Table) -> Mask:
        """Shape (rows,): the rows of the slice."""
        import numpy as np

        return np.asarray(np.logical_and.reduce([c.mask(rows) for c in self.conditions]))

    def __str__(self) -> str:
        return " and ".join(str(c) for c in self.conditions)

    def as_json(self) -> list[dict[str, Any]]:
        """JSON-serialisable, as decisions keep it."""
        return [{k: v for k, v in asdict(c).items() if v is not None} for c in self.conditions]

    @classmethod
    def from_json(cls, value: list[Mapping[str, Any]]) -> Rule:
        """The inverse of :meth:`as_json`; unknown keys of newer releases are ignored."""
        known = {f.name for f in fields(Condition)}
        kept = ({k: v for k, v in one.items() if k in known} for one in value)
        return cls(tuple(Condition(**one) for one in kept))
