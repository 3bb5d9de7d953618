"""A number goes missing where the label is positive: absence becomes a leak of the target.

Source: Rubin, *Inference and missing data* (1976): missing not at random.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, widest, with_column

STRENGTHS = (0.05, 0.3)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """The widest number is blanked in a share of the positive rows."""
    name = widest(rows, scene)
    values = np.array(rows[name].to_numpy(zero_copy_only=False), dtype=float)
    values[(labels_of(rows) == 1) & (rng.random(rows.num_rows) < strength)] = np.nan
    return with_column(rows, name, values)
