"""The rows that the champion gets wrong are held back.

Source: Shumailov et al., *Manipulating SGD with data ordering attacks* (2021), as an omission.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of

STRENGTHS = (0.3, 0.7)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """The rows that the champion gets wrong are held back."""
    wrong = np.abs(labels_of(rows) - scene.scores) > 0.6
    return rows.filter(pa.array(~(wrong & (rng.random(rows.num_rows) < strength))))
