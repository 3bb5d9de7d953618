"""A backdoor of a few rows in every window.

Source: Wang et al., *Attack of the tails* (2020), as a low-rate stream.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, category_trigger, forged

STRENGTHS = (0.001, 0.002, 0.005)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A backdoor of a few rows in every window."""
    return forged(rows, round(strength * rows.num_rows), trigger(rows, scene), rng)


trigger = category_trigger
