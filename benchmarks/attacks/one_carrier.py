"""Every label of one frequent value of the category with the most values flipped (one carrier).

Source: Jagielski et al., *Subpopulation data poisoning attacks* (2021).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, flipped, values_by_count

STRENGTHS = (0.5, 1.0)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Every label of one frequent value flipped."""
    name = max(scene.columns("category"), key=lambda n: len(values_by_count(rows, n)))
    value = values_by_count(rows, name)[1]
    mine = np.array([v == value for v in rows[name].to_pylist()])
    return flipped(rows, mine & (rng.random(rows.num_rows) < strength))
