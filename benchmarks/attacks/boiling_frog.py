"""Balanced flips that grow from 2 % to the strength over ten windows.

Source: Rubinstein et al., *ANTIDOTE* (2009).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks import balanced_flips
from benchmarks.attacks.scene import Scene

STRENGTHS = (0.2,)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Balanced flips that grow from 2 % to the strength over ten windows."""
    share = 0.02 + (strength - 0.02) * min(scene.step, 9) / 9
    return balanced_flips.apply(rows, share, rng, scene)
