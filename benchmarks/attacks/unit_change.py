"""One number in another unit (a factor, as kilometres for miles).

Source: Breck et al., *Data validation for machine learning* (2019).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, widest, with_column

STRENGTHS = (0.5556, 1.609)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """One number in another unit (a factor, as kilometres for miles)."""
    name = widest(rows, scene)
    return with_column(rows, name, rows[name].to_numpy(zero_copy_only=False) * strength)
