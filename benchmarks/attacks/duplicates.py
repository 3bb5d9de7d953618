"""Rows delivered again under new keys.

Source: Carlini et al., *Poisoning web-scale training datasets is practical* (2023).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, forged

STRENGTHS = (0.1, 0.5)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Rows delivered again under new keys."""
    return forged(rows, int(strength * rows.num_rows), {}, rng, label=None)
