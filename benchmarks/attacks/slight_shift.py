"""One number of one group of rows shifted by a fraction of its spread: a sensor out of tune.

Source: Rabanser, Gunnemann & Lipton, *Failing loudly* (2019), small Gaussian shift.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, values_by_count, widest, with_column

STRENGTHS = (0.1, 0.5)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """A number shifted, in the rows of the most frequent value of the widest category."""
    name = widest(rows, scene)
    group = max(scene.columns("category"), key=lambda n: len(values_by_count(rows, n)))
    mine = np.array([v == values_by_count(rows, group)[0] for v in rows[group].to_pylist()])
    values = np.array(rows[name].to_numpy(zero_copy_only=False), dtype=float)
    values[mine] += strength * np.nanstd(values)
    return with_column(rows, name, values)
