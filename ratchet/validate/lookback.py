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

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.cells import scan
from ratchet.validate.pooled import Pool, pooled
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
    pool, part = together([(b, c) for _, b, c in both], definition, keyed)
    thinned = thin(pool, part, seed)
    pool, part = pool.only(thinned), part[thinned]
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
    parts: Sequence[tuple[Sample, Sample]],
    definition: Definition,
    keyed: bool,
) -> tuple[Pool, NDArray[np.int64]]:
    """One pool of all windows, coded alike, and the window of each of its rows.

    The scan gets no champion's scores: a champion that learned the backdoor would vouch for it.
    """
    import numpy as np
    import pyarrow as pa

    names = ["_key", *definition.features]
    batch = Sample(
        pa.concat_tables([b.rows.select(names) for b, _ in parts]).combine_chunks(),
        np.concatenate([b.labels for b, _ in parts]),
    )
    control = Sample(
        pa.concat_tables([c.rows.select(names) for _, c in parts]).combine_chunks(),
        np.concatenate([c.labels for _, c in parts]),
    )
    pool = pooled(batch, control, definition, keyed=keyed)
    drawn = np.cumsum([0, *(c.rows.num_rows for _, c in parts)])
    taken = np.cumsum([0, *(b.rows.num_rows for b, _ in parts)])
    part = np.empty(pool.rows, dtype=np.int64)
    origin = pool.origin.copy()
    for mine, starts in ((pool.control, drawn), (~pool.control, taken)):
        part[mine] = np.searchsorted(starts[1:], origin[mine], side="right")
        origin[mine] -= starts[part[mine]]
    return replace(pool, origin=origin), part


def thin(pool: Pool, part: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Drop control rows at random until each window's share is that of the poorest window."""
    import numpy as np

    rng = np.random.default_rng(seed)
    drawn = np.bincount(part[pool.control], minlength=int(part.max(initial=0)) + 1)
    total = np.bincount(part, minlength=len(drawn))
    least = float((drawn / np.maximum(total, 1)).min())
    if least == 1:
        return np.ones(pool.rows, dtype=bool)
    keep = np.ones(pool.rows, dtype=bool)
    for k, (m, n) in enumerate(zip(drawn.tolist(), total.tolist(), strict=True)):
        surplus = int((m - least * n) / (1 - least))
        mine = np.flatnonzero(pool.control & (part == k))
        keep[rng.choice(mine, surplus, replace=False)] = False
    return keep
