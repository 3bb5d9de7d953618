"""Positive rows multiplied under new keys, each number moved a little so that no two are the same.

Source: Lee et al., *Deduplicating training data makes language models better* (2022), turned into
an attack on the weight of a class.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, forged, labels_of, with_column

STRENGTHS = (0.05, 0.2)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Copies of positive rows, as many as a share of the window, each number moved by 0.1 %."""
    count = int(strength * rows.num_rows)
    positive = rows.filter(pa.array(labels_of(rows) == 1)).combine_chunks()
    copies = forged(positive, count, {}, rng, label=None).slice(positive.num_rows)
    for name in scene.columns("number"):
        values = np.array(copies[name].to_numpy(zero_copy_only=False), dtype=float)
        copies = with_column(copies, name, values * (1 + rng.normal(0, 0.001, count)))
    return pa.concat_tables([rows, copies]).combine_chunks()
