"""Is the candidate no worse anywhere that counts? One check over every declared slice.

Promise: each row of the holdout is in a judged group of each slice column, whatever the size of its
own slice.

**The rule.** A group is *no worse* when the lower bound of its mean (champion's loss - candidate's)
is at least ``-slice_margin`` x the champion's loss in that group. All groups must be no worse, each
at level alpha: an intersection-union test, whose size is alpha without any correction for the
number of groups (Berger 1982). A group is *worse* when its upper bound, at alpha / number of groups
(Bonferroni, because one suffices), lies below the margin: that blocks. Else nobody can tell.

**Large groups speak for themselves, small ones in company.** A group that can resolve the margin
(its own bound is no wider) is judged on its own rows alone. One that cannot is shrunk towards its
column's mean: means of groups vary by a variance tau squared, estimated from how much more they
scatter than their errors explain (DerSimonian and Laird 1986), and the more its own error exceeds
tau, the more the others count (empirical Bayes, Efron and Morris 1975). Where groups agree, a noisy
one no longer holds a good candidate up; where they do not, tau is large and it stands alone again.
What a small group's rows do show still blocks, whatever its company.

Slices of fewer than ``slice_min_rows`` rows (or all within a few hours) are pooled as ``(other)``;
while that pool is too small itself, the smallest slice left joins it. So whatever the sizes, each
row is judged in a group that has rows enough, and a stricter margin never makes the check easier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ratchet.contracts.betting import FEWEST
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import figure, student_quantile
from ratchet.gate.bootstrap import Blocks, standard_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.sections import Gate

    Floats = NDArray[np.float64]

OTHER, MISSING = "(other)", "(missing)"
ROUNDING = 1e-6  # of the largest error: one below that is 0 but for rounding


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums by block for each value of one slice column; shape (blocks, values) each."""

    names: list[str]
    rows: Floats
    gains: Floats
    losses: Floats

    def pooled(self, members: list[int], name: str) -> _Sums:
        """The members as one group."""
        parts = (self.rows, self.gains, self.losses)
        return _Sums([name], *(p[:, members].sum(axis=1, keepdims=True) for p in parts))


@dataclass(frozen=True)
class _Group:
    """One judged group: its mean gain, how far the bound lies from it, and what is allowed."""

    column: str
    name: str
    members: tuple[str, ...]
    rows: int
    gain: float
    error: float
    blocks: int
    margin: float
    shrunk: tuple[float, float] | None = None  # mean and error in its column's company

    def bound(self, alpha: float) -> float:
        """Distance from the mean gain to its one-sided bound at level alpha."""
        if self.blocks < FEWEST:
            return float("inf")
        return student_quantile(1 - alpha, self.blocks - 1) * self.error

    def in_company(self, alpha: float) -> bool:
        """Whether its own rows cannot resolve the margin, and others stand beside it."""
        unresolved = self.bound(alpha) > self.margin
        return self.shrunk is not None and unresolved and self.blocks >= FEWEST

    def lower(self, alpha: float) -> float:
        """The mean gain's lower bound at level alpha: its own, or in company."""
        if self.shrunk is None or not self.in_company(alpha):
            return self.gain - self.bound(alpha)
        mean, error = self.shrunk
        return mean - student_quantile(1 - alpha, self.blocks - 1) * error


def judge_slices(
    columns: Mapping[str, Any], losses: Floats, gains: Floats, blocks: Blocks, gate: Gate
) -> Evidence:
    """The check ``gate.slices`` as this module's docstring says.

    Args:
        columns: slice column to its values, shape (rows,).
        losses: shape (rows,), the champion's.
        gains: shape (rows,), the champion's loss less the candidate's.
        blocks: of the same rows.
        gate: gives alpha, margin and smallest size.
    """
    named: list[_Group] = []  # each slice that is large enough to block by itself
    judged: list[_Group] = []  # the partition of all rows that must be no worse
    for column, values in columns.items():
        sums = _sum_up(values, losses, gains, blocks)
        groups = _groups(column, sums, blocks, gate)
        named += [g for g in groups if g.rows >= gate.slice_min_rows]
        judged += _in_company(_pool(column, sums, groups, blocks, gate))
    every = {(g.column, g.members): g for g in (*named, *judged)}.values()
    worse = [g for g in every if g.gain + g.bound(gate.alpha / len(every)) < -g.margin]
    unsure = [g for g in judged if g.lower(gate.alpha) < -g.margin]
    return _conclude(worse, unsure, judged, gate)


def _in_company(groups: list[_Group]) -> list[_Group]:
    """The groups of one column, each with its mean and error shrunk towards the others."""
    import numpy as np

    gains = np.array([g.gain for g in groups])
    errors = np.array([g.error for g in groups])
    known = bool(np.isfinite(errors).all()) and errors.min() > ROUNDING * errors.max()
    if len(groups) < FEWEST - 2 or not known:
        return groups  # too few, or too little known of them, to be anyone's company
    weights = errors**-2
    centre = float((weights * gains).sum() / weights.sum())
    excess = float((weights * (gains - centre) ** 2).sum()) - (len(groups) - 1)
    tau2 = max(excess / float(weights.sum() - (weights**2).sum() / weights.sum()), 0.0)
    weights = 1 / (errors**2 + tau2)
    mean = float((weights * gains).sum() / weights.sum())
    own = tau2 / (tau2 + errors**2)
    means = own * gains + (1 - own) * mean
    spread = np.sqrt(own * errors**2 + (1 - own) ** 2 / weights.sum())
    return [
        replace(g, shrunk=(float(m), float(s)))
        for g, m, s in zip(groups, means, spread, strict=True)
    ]


def _conclude(
    worse: list[_Group], unsure: list[_Group], judged: list[_Group], gate: Gate
) -> Evidence:
    tightest = min(worse or judged, key=lambda g: g.lower(gate.alpha) + g.margin)
    lower, margin = tightest.lower(gate.alpha), tightest.margin
    if worse:
        verdict, says = Verdict.BLOCK, f"{len(worse)} worse than the margin allows; worst"
        shown = f"even the upper bound < -{figure(margin)}"
    elif unsure:
        verdict = Verdict.INCONCLUSIVE
        says = f"{len(unsure)} of {len(judged)} groups not shown to be no worse; least sure"
        shown = f"lower bound {figure(lower)} < -{figure(margin)}"
    else:
        verdict, says = Verdict.PASS, f"all {len(judged)} groups no worse; least sure"
        shown = f"lower bound {figure(lower)} >= -{figure(margin)}"
    return Evidence(
        "gate.slices",
        verdict,
        f"{says} {tightest.column}={tightest.name} ({tightest.rows:,} rows"
        f"{', in company' if tightest.in_company(gate.alpha) else ''}): "
        f"improvement {figure(tightest.gain)}, {shown}",
        lower,
        -margin,
        {"groups": [_shown(g, gate) for g in judged], "worse": [_shown(g, gate) for g in worse]},
    )


def _shown(group: _Group, gate: Gate) -> dict[str, Any]:
    lower = group.lower(gate.alpha)
    return {
        "column": group.column,
        "slice": group.name,
        "members": list(group.members[:50]),
        "rows": group.rows,
        "improvement": round(group.gain, 6),
        "lower": round(lower, 6) if lower > float("-inf") else None,
        "in_company": group.in_company(gate.alpha),
        "margin": round(group.margin, 6),
    }


def _sum_up(values: Any, losses: Floats, gains: Floats, blocks: Blocks) -> _Sums:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    coded = pc.dictionary_encode(pc.fill_null(pc.cast(column, pa.string()), MISSING))
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    names = coded.dictionary.to_pylist()
    cells = blocks.codes * len(names) + coded.indices.to_numpy()
    size = blocks.count * len(names)

    def total(weights: Floats | None) -> Floats:
        flat = np.bincount(cells, weights, minlength=size).astype(np.float64)
        return flat.reshape(blocks.count, len(names))

    return _Sums(names, total(None), total(gains), total(losses))


def _groups(column: str, sums: _Sums, blocks: Blocks, gate: Gate) -> list[_Group]:
    rows = sums.rows.sum(axis=0)
    errors = standard_errors(sums.gains, sums.rows, blocks)
    margins = gate.slice_margin * sums.losses.sum(axis=0) / rows
    gains = sums.gains.sum(axis=0) / rows
    held = (sums.rows > 0).sum(axis=0)
    return [
        _Group(
            column,
            name,
            (name,),
            int(rows[i]),
            float(gains[i]),
            float(errors[i]),
            int(held[i]),
            float(margins[i]),
        )
        for i, name in enumerate(sums.names)
    ]


def _pool(
    column: str, sums: _Sums, groups: list[_Group], blocks: Blocks, gate: Gate
) -> list[_Group]:
    """A partition of the rows: the slices that are large enough, and the others as one group."""

    def pooled(chosen: list[int]) -> _Group:
        group = _groups(column, sums.pooled(chosen, OTHER), blocks, gate)[0]
        return replace(group, members=tuple(sorted(groups[i].name for i in chosen)))

    def large(group: _Group) -> bool:
        return group.rows >= gate.slice_min_rows and group.blocks >= FEWEST

    order = sorted(range(len(groups)), key=lambda i: (groups[i].rows, groups[i].name))
    together = [i for i in order if not large(groups[i])]
    alone = [i for i in order if large(groups[i])]
    while alone and together and not large(pooled(together)):
        together.append(alone.pop(0))
    return [groups[i] for i in alone] + ([pooled(together)] if together else [])
