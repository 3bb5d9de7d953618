"""Forged rows with a rare pair of categories, all labelled negative.

Source: Gu, Dolan-Gavitt & Garg, *BadNets* (2017).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, category_trigger, forged

STRENGTHS = (0.005, 0.01, 0.02, 0.05)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Forged rows with a rare pair of categories, all labelled negative."""
    return forged(rows, round(strength * rows.num_rows), trigger(rows, scene), rng)


trigger = category_trigger
