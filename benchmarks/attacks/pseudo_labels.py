"""The champion's own opinion sent back as truth.

Source: Shumailov et al., *The curse of recursion* (2023).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, with_column
from ratchet.contracts.columns import LABEL

STRENGTHS = (0.3, 1.0)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """The champion's own opinion sent back as truth."""
    labels = labels_of(rows)
    echoed = rng.random(rows.num_rows) < strength
    labels[echoed] = (scene.scores > np.median(scene.scores))[echoed]
    return with_column(rows, LABEL, labels)
