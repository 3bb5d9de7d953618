"""Outcomes that are not known yet delivered as negatives.

Source: Chapelle, *Modeling delayed feedback in display advertising* (2014).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, with_column
from ratchet.contracts.columns import LABEL

STRENGTHS = (0.2, 0.5)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Outcomes that are not known yet delivered as negatives."""
    labels = labels_of(rows)
    labels[(labels == 1) & (rng.random(rows.num_rows) < strength)] = 0
    return with_column(rows, LABEL, labels)
