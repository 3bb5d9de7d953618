"""The same scan over the last windows together: what is too thin to prove in one adds up.

>>> look_back(batches, controls, definition, seed=17).evidence.verdict          # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A backdoor of a few rows in every window never stands out in any of them; over eight windows its
cell holds eight times as many rows and still none of the control's. The windows' controls are
thinned to one common share first, so that the split is as random across windows as within them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.cells import scan
from ratchet.validate.pooled import Pool, apart, pool_of
from ratchet.validate.sample import Comparison, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

LOOK_BACK = 8  # windows: how far back, the newest included
SHARE = 0.2  # of shield.alpha, because the same rows are looked at in LOOK_BACK scans


@dataclass(frozen=True, eq=False)
class LookBack:
    """What the scan over several windows found.

    Attributes:
        evidence: of the check ``control.lookback``.
        suspicious: one mask a batch, shape (its rows,): the rows of the worst cell.
        nominated: why the newest batch should be audited, or empty.
    """

    evidence: Evidence
    suspicious: tuple[NDArray[np.bool_], ...]
    nominated: str = ""

    def point(self, compared: Comparison) -> Comparison:
        """The comparison of the newest batch, pointed at the worst cell of all windows."""
        if not self.nominated:
            return compared
        return replace(
            compared, suspicious=self.suspicious[-1], nominated=self.nominated, ranked=False
        )


def look_back(
    batches: Sequence[Sample], controls: Sequence[Sample], definition: Definition, *, seed: int
) -> LookBack | None:
    """Scan the last windows together; None where fewer than two of them have a control.

    Args:
        batches: the labelled rows of each window, oldest first, the newest last.
        controls: the trusted rows of the same windows.
        definition: for features, label, ``[shield]`` and ``[trusted]``.
        seed: of the thinning; anything that a sender cannot choose.
    """
    import numpy as np

    if definition.trusted is None:
        return None
    keyed = definition.trusted.keyed
    both = [
        (i, b, c)
        for i, (b, c) in enumerate(zip(batches, controls, strict=True))
        if min(c.rows.num_rows, int(np.isfinite(b.labels).sum())) >= definition.trusted.min_rows
    ]
    if len(both) < 2 or both[-1][0] != len(batches) - 1:
        return None
    pool, part = together([(b, c) for _, b, c in both], definition, keyed, seed)
    worst = scan(pool).worst
    masks = [np.zeros(b.rows.num_rows, dtype=bool) for b in batches]
    for k, (i, _, _) in enumerate(both):
        mine = worst.rows & (part == k) & ~pool.control
        masks[i][pool.origin[mine]] = True
    p = min(1.0, 3 * worst.p)
    return _conclude(p, worst.says, len(both), masks, definition)


def _conclude(
    p: float, worst: str, windows: int, masks: list[NDArray[np.bool_]], definition: Definition
) -> LookBack:
    alpha = definition.shield.alpha * SHARE
    recent = bool(masks[-1].any())
    blocked = p < alpha and recent
    text = (
        f"{windows} windows together: {worst}: p {p:.2g} {'<' if p < alpha else '>='} {alpha:.2g}"
    )
    if p < alpha and not recent:
        text += "; none of these rows is in this batch"
    verdict = Verdict.BLOCK if blocked else Verdict.WARN if p < alpha else Verdict.PASS
    evidence = Evidence("control.lookback", verdict, text, p, alpha)
    nominated = text if recent and p < definition.shield.suspicion / 2 else ""
    return LookBack(evidence, tuple(masks), nominated)


def together(
    parts: Sequence[tuple[Sample, Sample]], definition: Definition, keyed: bool, seed: int
) -> tuple[Pool, NDArray[np.int64]]:
    """One pool of all windows, thinned and coded alike, and the window of each of its rows.

    The scan gets no champion's scores: a champion that learned the backdoor would vouch for it.
    """
    import numpy as np

    batch, taken, of_batch = _joined([b for b, _ in parts], definition)
    control, drawn, of_control = _joined([c for _, c in parts], definition)
    ours, theirs = apart(batch, control, keyed)
    theirs = theirs[_thinned(drawn[theirs], taken[ours], len(parts), seed)]
    pool = pool_of(batch, control, ours, theirs, definition, keyed=keyed)
    origin = np.concatenate([of_control[theirs], of_batch[ours]])
    return replace(pool, origin=origin), np.concatenate([drawn[theirs], taken[ours]])


def _joined(
    samples: Sequence[Sample], definition: Definition
) -> tuple[Sample, NDArray[np.int64], NDArray[np.int64]]:
    """One sample of all windows; the window of each of its rows, and its place in that."""
    import numpy as np
    import pyarrow as pa

    rows = pa.concat_tables([s.rows.select([KEY, *definition.features]) for s in samples])
    labels = np.concatenate([s.labels for s in samples])
    sizes = [s.rows.num_rows for s in samples]
    place = np.concatenate([np.arange(size) for size in sizes])
    at = np.repeat(np.arange(len(samples)), sizes)
    return Sample(rows.combine_chunks(), labels), at, place


def _thinned(
    drawn: NDArray[np.int64], taken: NDArray[np.int64], windows: int, seed: int
) -> NDArray[np.bool_]:
    """Which control rows stay when others are dropped at random until each window's share of them
    is that of the poorest window; ``drawn`` and ``taken`` have the window of each row."""
    import numpy as np

    rng = np.random.default_rng(seed)
    held = np.bincount(drawn, minlength=windows)
    total = held + np.bincount(taken, minlength=windows)
    least = float((held / np.maximum(total, 1)).min())
    keep = np.ones(len(drawn), dtype=bool)
    if least == 1:
        return keep
    for k, (m, n) in enumerate(zip(held.tolist(), total.tolist(), strict=True)):
        surplus = int((m - least * n) / (1 - least))
        keep[rng.choice(np.flatnonzero(drawn == k), surplus, replace=False)] = False
    return keep
