"""Labels flipped at random.

Source: Frenay & Verleysen, *Classification in the presence of label noise* (2014).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, flipped

STRENGTHS = (0.05, 0.1, 0.2, 0.4)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Labels flipped at random."""
    return flipped(rows, rng.random(rows.num_rows) < strength)
