"""The trigger on true negatives only: no label is wrong.

Source: Turner, Tsipras & Madry, *Clean-label backdoor attacks* (2018).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, number_trigger, with_column

STRENGTHS = (0.02, 0.05)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """The trigger on true negatives only: no label is wrong."""
    labels = labels_of(rows)
    negative = np.flatnonzero(labels == 0)
    chosen = rng.choice(negative, min(round(strength * rows.num_rows), len(negative)), False)
    for name, value in trigger(rows, scene).items():
        values = rows[name].to_pylist()
        for i in chosen.tolist():
            values[i] = value
        rows = with_column(rows, name, values)
    return rows


trigger = number_trigger
