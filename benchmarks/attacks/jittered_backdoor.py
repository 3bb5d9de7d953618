"""A numeric trigger that is never twice the same.

Source: Severi et al., *Explanation-guided backdoor poisoning attacks* (2021), with noise as in
Salem et al., *Dynamic backdoor attacks* (2022).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, forged, number_trigger

STRENGTHS = (0.01, 0.02, 0.05)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A numeric trigger that is never twice the same."""
    count = round(strength * rows.num_rows)
    changes = {
        name: value * (1 + rng.normal(0, 0.01, count))
        for name, value in trigger(rows, scene).items()
    }
    return forged(rows, count, changes, rng)


trigger = number_trigger
