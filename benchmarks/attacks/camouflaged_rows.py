"""Forged rows that follow the window's own distribution, with the wrong label.

Source: Koh, Steinhardt & Liang, *Stronger data poisoning attacks break data sanitization defenses*
(2022): poison placed inside the clean distribution.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, flipped, forged

STRENGTHS = (0.05, 0.1)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """Each forged row takes every column from some row of the window; labels are turned around."""
    count = int(strength * rows.num_rows)
    both = forged(rows, count, {}, rng, label=None)
    for name in (scene.columns("number") or scene.columns("category"))[::2]:
        mixed = rows[name].take(pa.array(rng.integers(rows.num_rows, size=count)))
        column = pa.concat_arrays([rows[name].combine_chunks(), mixed.combine_chunks()])
        both = both.set_column(both.column_names.index(name), name, column)
    return flipped(both, np.arange(rows.num_rows, both.num_rows))
