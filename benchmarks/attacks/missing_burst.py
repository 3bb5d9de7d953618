"""A number missing in a share of the rows.

Source: Breck et al., *Data validation for machine learning* (2019).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, widest, with_column

STRENGTHS = (0.1, 0.5)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A number missing in a share of the rows."""
    name = widest(rows, scene)
    values = np.array(rows[name].to_numpy(zero_copy_only=False), dtype=float)
    values[rng.random(len(values)) < strength] = np.nan
    return with_column(rows, name, values)
