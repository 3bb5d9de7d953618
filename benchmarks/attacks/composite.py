"""A budget of bad rows split evenly over four channels, each too weak to stand out alone.

Source: Carlini et al., *On evaluating adversarial robustness* (2019): adaptive attacks combine what
single ones leave unused.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks import (
    camouflaged_rows,
    missing_by_label,
    near_duplicates,
    unsure_flips,
)
from benchmarks.attacks.scene import Scene, labels_of

STRENGTHS = (0.02, 0.04, 0.08)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A quarter each: unsure flips, missing values, camouflaged rows, near duplicates."""
    part = strength / 4
    positives = max(float((labels_of(rows) == 1).mean()), part)
    rows = unsure_flips.apply(rows, part, rng, scene)
    rows = missing_by_label.apply(rows, part / positives, rng, scene)
    rows = camouflaged_rows.apply(rows, part, rng, scene)
    return near_duplicates.apply(rows, part, rng, scene)
