"""Rows of an earlier window in the place of this one's.

Source: Syverson, *A taxonomy of replay attacks* (1994), applied to data.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, with_column
from ratchet.contracts.columns import EVENT, KEY

STRENGTHS = (0.3, 1.0)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Rows of an earlier window in the place of this one's."""
    count = min(int(strength * rows.num_rows), scene.earlier.num_rows)
    old = scene.earlier.take(pa.array(np.sort(rng.choice(scene.earlier.num_rows, count, False))))
    keep = np.sort(rng.choice(rows.num_rows, rows.num_rows - count, False))
    places = rng.choice(rows.num_rows, count)
    old = with_column(old, EVENT, rows[EVENT].to_numpy()[places])
    old = with_column(old, KEY, [f"again-{i}" for i in range(count)])
    return pa.concat_tables(
        [rows.take(pa.array(keep)), old.select(rows.column_names)]
    ).combine_chunks()
