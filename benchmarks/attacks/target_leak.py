"""A number that carries the label in training, and nothing when it counts.

Source: Kaufman et al., *Leakage in data mining* (2012).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, widest, with_column

STRENGTHS = (0.5, 1.0)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A number that carries the label in training, and nothing when it counts."""
    name = widest(rows, scene)
    values = np.array(rows[name].to_numpy(zero_copy_only=False), dtype=float)
    low, high = np.nanquantile(values, [0.1, 0.9])
    leaked = rng.random(len(values)) < strength
    values[leaked] = np.where(labels_of(rows) > 0, high, low)[leaked]
    return with_column(rows, name, values)
