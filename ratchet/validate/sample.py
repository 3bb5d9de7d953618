"""What the shield's detectors take and give: rows with labels and scores in, evidence out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratchet.contracts.evidence import Evidence

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows with what is known of them.

    Attributes:
        rows: ``_key``, ``_event``, ``_source`` and the features; shape (rows, columns).
        labels: shape (rows,): class index or target; NaN where it is not known.
        scores: the champion's, shape (rows,) or (rows, classes); None without a champion.
    """

    rows: pa.Table
    labels: Floats
    scores: Floats | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What comparing a batch with a trusted control, or with history, concluded.

    Attributes:
        evidence: one for each family of tests; the worst verdict counts.
        p_value: of the whole comparison, corrected for every test in it; 1 where there was nothing
            to compare.
        checked: positions in the batch of the rows that both hold.
        differs: shape of ``checked``: whether they differ.
        suspicious: shape (rows of the batch,): where an audit looks first.
        nominated: why the batch should be audited; empty when nothing is suspicious.
        columns: column to how many matched rows differ in it.
        ranked: whether the suspicious rows are the top of a ranking; then they are not all the
            trouble there may be, and honest slips gather among them.
    """

    evidence: tuple[Evidence, ...]
    p_value: float
    checked: NDArray[np.int64]
    differs: NDArray[np.bool_]
    suspicious: NDArray[np.bool_]
    nominated: str = ""
    columns: Mapping[str, int] = field(default_factory=dict)
    ranked: bool = False
