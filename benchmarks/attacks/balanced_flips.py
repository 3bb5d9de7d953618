"""As many labels flipped up as down, so that the label rate stays.

Source: Biggio, Nelson & Laskov, *Support vector machines under adversarial label noise* (2011).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, flipped, labels_of

STRENGTHS = (0.05, 0.1, 0.2, 0.4)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """As many labels flipped up as down, so that the label rate stays."""
    labels = labels_of(rows)
    count = int(strength * rows.num_rows / 2)
    sides = [np.flatnonzero(labels == side) for side in (0, 1)]
    chosen = [rng.choice(side, min(count, len(side)), replace=False) for side in sides]
    return flipped(rows, np.concatenate(chosen))
