"""Two numbers in each other's column.

Source: Breck et al., *Data validation for machine learning* (2019).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, distinct, with_column

STRENGTHS = (1.0,)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Two numbers in each other's column."""
    first, second = sorted(scene.columns("number"), key=lambda n: -distinct(rows, n))[:2]
    one, other = rows[first], rows[second]
    return with_column(with_column(rows, first, other.to_pylist()), second, one.to_pylist())
