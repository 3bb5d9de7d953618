"""A share of the rows reported as positive, whatever they were.

Source: Xiao et al., *Is feature selection secure against training data poisoning?* (2015).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, with_column
from ratchet.contracts.columns import LABEL

STRENGTHS = (0.05, 0.1, 0.3)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A share of the rows reported as positive, whatever they were."""
    labels = labels_of(rows)
    labels[rng.random(rows.num_rows) < strength] = 1
    return with_column(rows, LABEL, labels)
