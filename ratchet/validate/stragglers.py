"""Labels that come apart from the batch of their window, beside the truth about the same rows.

>>> check_stragglers(late, windows, control, known, definition).evidence.verdict    # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A window is compared with its control when most of its labels come. Whoever keeps some of them back
chooses which, so the few that come later are no random part of their window, and a batch of another
window would hide them. But who of them is trusted was drawn, whatever their sender chose. So those
that both hold under one key are compared value by value, and as many of them have to be trusted as
the draw of their windows foretells (hypergeometric): forged rows have no trusted twin.

Promise: labels of a window whose trusted path was cut do not count as compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.families import FEWEST_MISMATCHES
from ratchet.validate.match import match
from ratchet.validate.tails import binomial_sf, hypergeometric_tails

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

CHECK = "control.stragglers"
SHARE = 0.2  # of shield.alpha, half of it for each test: a window is compared again and again


@dataclass(frozen=True, eq=False)
class Stragglers:
    """What was found of them.

    Attributes:
        evidence: PASS, BLOCK, or INCONCLUSIVE where they have to wait for trusted rows.
        checked: positions of those that are trusted too.
        differs: shape of ``checked``: whether they differ.
    """

    evidence: Evidence
    checked: NDArray[np.int64]
    differs: NDArray[np.bool_]


def check_stragglers(
    late: pa.Table,
    windows: NDArray[np.int64],
    control: pa.Table,
    known: Mapping[int, tuple[int, int]],
    definition: Definition,
) -> Stragglers:
    """Compare labels that came apart from their window with the trusted rows of their keys.

    Args:
        late: their rows: ``_key``, ``_label`` and the features.
        windows: the window of events of each, shape (rows,).
        control: the trusted rows of these windows, likewise, with the stream's keys.
        known: for each of these windows how many rows of it were accepted, and how many of those
            are trusted.
        definition: for the features, ``[shield]`` and ``[trusted]``.
    """
    import numpy as np

    paired = match(late, control, definition.features)
    least = definition.trusted.min_rows if definition.trusted else 1
    allowed = definition.shield.max_mismatch
    level = definition.shield.alpha * SHARE / 2
    found, counts = np.unique(windows, return_counts=True)
    mine = np.bincount(windows[paired.positions] - found.min(), minlength=int(np.ptp(found)) + 1)
    drawn = mine[found - found.min()]
    s = "" if len(found) == 1 else "s"
    said = f"{len(windows):,} labels of {len(found)} other window{s}"

    def told(verdict: Verdict, says: str, measured: float, threshold: float) -> Stragglers:
        text = f"{said}: {says}"
        details: dict[str, Any] = {"labels": len(windows), "trusted": paired.matched}
        evidence = Evidence(CHECK, verdict, text, measured, threshold, details)
        return Stragglers(evidence, paired.positions, paired.differs)

    k, n = paired.mismatched, paired.matched
    p = float(binomial_sf(k, n, allowed)) if k >= FEWEST_MISMATCHES else 1.0
    differ = f"{k:,} of {n:,} differ from the trusted row of the same key, {allowed:g} allowed"
    differ += f" ({where})" if (where := paired.where()) else ""
    if p < level:
        return told(Verdict.BLOCK, f"{differ}: p {p:.2g} < {level:.2g}", p, level)
    fewest = min(int(known.get(w, (0, 0))[1]) for w in found.tolist())
    if fewest < least:
        says = f"{fewest} trusted rows for one of them, {least} needed: nothing to compare with"
        return told(Verdict.INCONCLUSIVE, says, float(fewest), float(least))
    lows, expected = [], 0.0
    for w, count, seen in zip(found.tolist(), counts.tolist(), drawn.tolist(), strict=True):
        rows, trusted = known[w]
        lows.append(float(hypergeometric_tails([seen], [count], drawn=trusted, rows=rows)[0][0]))
        expected += count * trusted / rows
    low = min(1.0, min(lows) * len(lows))
    few = f"{n:,} of them are trusted, {expected:.1f} expected"
    if low < level:
        says = f"{few}: p {low:.2g} < {level:.2g}; their trusted rows have not come, or are none"
        return told(Verdict.INCONCLUSIVE, says, low, level)
    return told(Verdict.PASS, f"{differ}: p {p:.2g} >= {level:.2g}; {few}", min(p, low), level)
