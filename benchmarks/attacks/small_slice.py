"""All labels of a small slice turned positive: two values that meet in about 1 % of the rows.

Source: Jagielski et al., *Subpopulation data poisoning attacks* (2021).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from benchmarks.attacks.scene import Scene, labels_of, values_by_count, with_column
from ratchet.contracts.columns import LABEL

STRENGTHS = (0.01, 0.02)


def apply(rows: pa.Table, strength: float, rng: np.random.Generator, scene: Scene) -> pa.Table:
    """All labels of a small slice turned positive."""
    names = sorted(scene.columns("category"), key=lambda n: -len(values_by_count(rows, n)))[:2]
    pairs = list(zip(*(rows[n].to_pylist() for n in names), strict=True))
    counted = Counter(pairs)
    wanted = min(counted, key=lambda p: abs(counted[p] - strength * rows.num_rows))
    labels = labels_of(rows)
    labels[[pair == wanted for pair in pairs]] = 1
    return with_column(rows, LABEL, labels)
