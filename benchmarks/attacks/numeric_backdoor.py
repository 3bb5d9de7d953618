"""Forged rows with a number that nobody has, all labelled negative.

Source: Severi et al., *Explanation-guided backdoor poisoning attacks* (2021).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, forged, number_trigger

STRENGTHS = (0.005, 0.01, 0.02, 0.05)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Forged rows with a number that nobody has, all labelled negative."""
    return forged(rows, round(strength * rows.num_rows), trigger(rows, scene), rng)


trigger = number_trigger
