"""Labels flipped only where the champion is unsure, so that no residual stands out.

Source: Xiao, Biggio et al., *Support vector machines under adversarial label contamination* (2015).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, flipped

STRENGTHS = (0.05, 0.1)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Labels flipped only where the champion is unsure: half of the rows it is least sure of."""
    count = int(strength * rows.num_rows)
    unsure = np.argsort(np.abs(scene.scores - np.median(scene.scores)), kind="stable")
    return flipped(rows, rng.choice(unsure[: 2 * count], count, replace=False))
