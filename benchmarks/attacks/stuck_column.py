"""A number that no longer moves: each row holds its median.

Source: Sculley et al., *Hidden technical debt in machine learning systems* (2015).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, widest, with_column

STRENGTHS = (0.5, 1.0)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A number that no longer moves: each row holds its median."""
    name = widest(rows, scene)
    values = np.array(rows[name].to_numpy(zero_copy_only=False), dtype=float)
    values[rng.random(len(values)) < strength] = float(np.nanmedian(values))
    return with_column(rows, name, values)
