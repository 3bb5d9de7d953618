"""Which windows are run, by what landed for them.

>>> followed({3: 900, 5: 870, 4000: 2}, min_rows=50)
[3, 4, 5]

Promise: a few stray rows far ahead move no watermark.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_GAP = 60  # empty windows in a row that are still run, each to say that nothing came


def followed(counts: Mapping[int, int], min_rows: int) -> list[int]:
    """Window indices in order, short gaps filled, up to the first stray rows beyond a long gap.

    Args:
        counts: landed rows by window index.
        min_rows: fewer rows than this beyond a long gap are strays.
    """
    out: list[int] = []
    for index, count in sorted(counts.items()):
        gap = index - out[-1] - 1 if out else 0
        if gap > MAX_GAP and count < min_rows:
            break
        out += range(out[-1] + 1, index) if 0 < gap <= MAX_GAP else []
        out.append(index)
    return out
