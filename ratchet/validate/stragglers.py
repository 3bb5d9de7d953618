"""Labels that come apart from the batch of their window, beside the truth about the same rows.

>>> check_stragglers(late, windows, control, known, definition).evidence.verdict    # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A window is compared with its control when most of its labels come. Whoever keeps some of them back
chooses which, so the few that come later are no random part of their window, and a batch of another
window would hide them. But who of them is trusted was drawn, whatever their sender chose. So those
that both hold under one key are compared value by value, and enough of them have to be trusted,
because forged rows have no trusted twin:

- of a window's stragglers as many as of all its labelled rows (hypergeometric);
- of all stragglers, and of each window's labelled rows, at least half as many as of all labelled
  rows of these windows (binomial), so that neither a cut path nor windows that nobody labelled
  hide anything. Half, because windows are of different size and so is the share that is drawn.

Promise: labels that there are no trusted rows for do not count as compared.
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
SHARE = 0.2  # of shield.alpha, half of it for each question: a window is looked at again and again
HALF = 0.5  # of the share that is trusted elsewhere: fewer are too few
WAIT = 0.01  # level of that: honest windows are far from half, and who waits is released by rule


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
        known: for these windows, and the others up to now, how many rows of each have a label, the
            stragglers among them, and how many of those are trusted.
        definition: for the features, ``[shield]`` and ``[trusted]``.
    """
    import numpy as np

    paired = match(late, control, definition.features)
    least = definition.trusted.min_rows if definition.trusted else 1
    level = definition.shield.alpha * SHARE / 2
    places, at, counts = np.unique(windows, return_inverse=True, return_counts=True)
    drawn = np.bincount(at[paired.positions], minlength=len(places))
    s = "" if len(places) == 1 else "s"
    said = f"{len(windows):,} labels of {len(places)} other window{s}"

    def told(verdict: Verdict, says: str, measured: float, threshold: float) -> Stragglers:
        details: dict[str, Any] = {"labels": len(windows), "trusted": paired.matched}
        evidence = Evidence(CHECK, verdict, f"{said}: {says}", measured, threshold, details)
        return Stragglers(evidence, paired.positions, paired.differs)

    k, n, allowed = paired.mismatched, paired.matched, definition.shield.max_mismatch
    p = float(binomial_sf(k, n, allowed)) if k >= FEWEST_MISMATCHES else 1.0
    differ = f"{k:,} of {n:,} differ from the trusted row of the same key, {allowed:g} allowed"
    differ += f" ({where})" if (where := paired.where()) else ""
    if p < level:
        return told(Verdict.BLOCK, f"{differ}: p {p:.2g} < {level:.2g}", p, level)
    total, trusted = (sum(of) for of in zip(*known.values(), strict=True))
    if trusted < least:
        says = f"{trusted} trusted rows for these windows, {least} needed: nothing to compare with"
        return told(Verdict.INCONCLUSIVE, says, float(trusted), float(least))
    few = f"{n:,} of them are trusted, {len(windows) * trusted / total:.1f} expected"
    counted = dict(zip(places.tolist(), zip(counts, drawn, strict=True), strict=True))
    for low, limit in ((_within(counted, known), level), (_halved(counted, known), WAIT)):
        if low < limit:
            says = (
                f"{few}: p {low:.2g} < {limit:.2g}; trusted rows have not come, or there are none"
            )
            return told(Verdict.INCONCLUSIVE, says, low, limit)
    return told(Verdict.PASS, f"{differ}: p {p:.2g} >= {level:.2g}; {few}", p, level)


_Counts = Mapping[int, tuple[int, int]]  # of a window: labels, and trusted ones among them


def _within(late: _Counts, known: _Counts) -> float:
    """p-value that so few of a window's stragglers are trusted, by what was drawn of the window."""
    lows = [
        hypergeometric_tails([int(seen)], [int(count)], drawn=known[w][1], rows=known[w][0])[0][0]
        for w, (count, seen) in late.items()
    ]
    return min(1.0, len(lows) * float(min(lows)))


def _halved(late: _Counts, known: _Counts) -> float:
    """p-value that so few are trusted if at least half the usual share is: of all stragglers, and
    of all labels of each of their windows."""
    total, trusted = (sum(of) for of in zip(*known.values(), strict=True))
    every = tuple(int(sum(of)) for of in zip(*late.values(), strict=True))
    chances = [
        binomial_sf(count - seen, count, 1 - HALF * trusted / total)  # of at most ``seen``
        for count, seen in [every, *(known[w] for w in late)]
    ]
    return min(1.0, len(chances) * min(chances))
