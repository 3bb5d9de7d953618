"""Is the candidate worse in some group of rows that nobody declared? Asked last, and remembered.

>>> judge_discovered(request, rows, known, definition).evidence[0].check        # doctest: +SKIP
'gate.discovered'

**In order of time.** The holdout's blocks of event time are cut into stretches. Before each, from
the second on, small boosted trees learn the candidate's excess from the stretches before it: a
row's loss by the candidate, less (1 + ``gate.slice_margin``) x the champion's. The rows of the
stretch in which they expect an excess are *suspected*. No row's loss had a say in whether it is,
so if the candidate is nowhere worse, the suspected rows' excess is no more than 0 on average, each
given all before it (prequential, Dawid 1984); many weak slices count together.

**The test.** The candidate is worse there where Student's lower bound of the suspected rows' mean
excess lies above 0, rows of a block as one observation; neighbouring blocks that lean on one
another widen it.

**Over the life of a pipeline.** The t-th question is asked at level ``gate.alpha x g(t) x b(r)``,
r one more than the findings so far; all g sum to 1, and ``b(r)`` is the sum of the first r of
``k g(k)``: LOND (Javanmard and Montanari 2018), reshaped so that it holds however the questions
depend on one another (Zrnic, Ramdas and Jordan 2021, "Asynchronous online testing of multiple
hypotheses"). Of the groups that are ever said to be worse at most the share alpha are not, on
average. Nothing is asked of a candidate that something else stops, nor where hardly a row is
suspected: that costs nothing.

**Named and remembered.** The slice that stands out most (:mod:`ratchet.gate.weak`) says where to
look; it is a description, no test. It is watched for some windows: nothing passes that looks worse
there beyond the margin, by the whole holdout and without any bound, because what was weak once must
look well; and what is shown to be worse blocks.

Promise: a pure function of the state before and of the rows; nothing is asked twice of one cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.contracts.betting import FEWEST
from ratchet.contracts.boosting import boosted
from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import row_losses, student_quantile
from ratchet.contracts.score import encode
from ratchet.gate.judge import GateInput
from ratchet.gate.searches import Searches
from ratchet.gate.weak import LEAST_BLOCKS, LEAST_ROWS, weakest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]
    Floats32 = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

CHECK, WATCHED = "gate.discovered", "gate.watched"
STRETCHES = 8  # of event time; each is asked by what those before it have shown
EXPECTED = 0.2  # standard deviations above which a row is suspected
ROUNDS = 20
TREES: Mapping[str, Any] = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 3,
    "learning_rate": 0.2,
    "min_child_weight": 30,  # rows
    "reg_lambda": 20,
    "max_bin": 32,
    "base_score": 0.0,
}
LEAN_AT_FIRST, LEAN_BLOCKS = 0.1, 28  # correlation of neighbours, before so many have shown it
WATCH = 12  # windows that a slice is watched after it was last found worse


class Search(NamedTuple):
    """What was found, and the state from now on."""

    evidence: list[Evidence]
    searches: Searches


def judge_discovered(
    request: GateInput, rows: pa.Table, known: Searches, definition: Definition
) -> Search:
    """``gate.watched`` where a slice is watched, and if that lets through ``gate.discovered``.

    A slice that is shown to be worse blocks. Without a champion the candidate is compared with the
    constant score that the training rows suggest, and a slice in which it is worse only warns:
    nothing serves that could get worse. Nothing at all where ``gate.discover`` is not set.

    Args:
        request: what the gate judged on.
        rows: the features of the same rows, in the same order.
        known: the state before.
        definition: gives the features and the gate.
    """
    if not definition.gate.discover:
        return Search([], known)
    before, after = _losses(request, definition)
    known = known.forget(request.holdout_from)
    until = request.holdout_from + WATCH * definition.calendar.length
    found: list[Evidence] = []
    if known.watched:
        seen, known = _watched(rows, before, after, request, known, until, definition)
        found.append(seen)
        if not seen.verdict.lets_through:
            return Search(found, known)
    told, known = _discover(rows, before, after, request, known, until, definition)
    return Search([*found, told], known)


def suspected(matrix: Floats32, kinds: Sequence[str], excess: Floats, stretch: Ints) -> Mask:
    """Rows of which the stretches before theirs let expect an excess; shape (rows,).

    Args:
        matrix: shape (rows, features); categories as indexes, missing is NaN.
        kinds: ``number`` or ``category`` of each feature.
        excess: shape (rows,), finite.
        stretch: shape (rows,), from 0 in order of event time; none of the first is suspected.
    """
    import numpy as np

    found = np.zeros(len(excess), dtype=bool)
    types = ["c" if kind == "category" else "q" for kind in kinds]
    for i in range(1, int(stretch.max(initial=0)) + 1):
        past, now = stretch < i, np.flatnonzero(stretch == i)
        mean, spread = float(excess[past].mean()), float(excess[past].std())
        if not len(now) or not spread > 0:
            continue
        label = (excess[past] - mean) / spread
        trees = {**TREES, "nthread": 1, "seed": 0}
        model = boosted(matrix[past], trees, ROUNDS, label=label, feature_types=types)
        expected = mean / spread + model.inplace_predict(matrix[now])
        found[now] = expected > EXPECTED
    return found


def lower_bound(excess: Floats, blocks: Ints, spread: float, level: float) -> tuple[float, float]:
    """Mean excess of these rows, and its lower bound at this level.

    Args:
        excess: shape (rows,), of the suspected rows.
        blocks: shape (rows,): their blocks, from 0 in order of event time.
        spread: standard deviation of the excess of all rows. What stands out often does so because
            its rows hold none of the rare large values, so the error is not taken to be smaller
            than this lets expect.
        level: chance of a bound above the true mean.
    """
    sums, rows = _sums(excess, blocks)
    if len(sums) < FEWEST:
        return 0.0, float("-inf")
    mean, error, freedom = _mean(excess, blocks)
    error = max(error, spread / float(len(excess)) ** 0.5)
    error *= _lean(sums - rows * mean) ** 0.5
    return mean, mean - student_quantile(1 - level, freedom) * error


def _mean(values: Floats, blocks: Ints) -> tuple[float, float, int]:
    """Mean, its error with rows of a block as one observation, and the degrees of freedom."""
    sums, rows = _sums(values, blocks)
    n, mean = len(sums), float(sums.sum() / rows.sum())
    left = sums - rows * mean
    return mean, float((n / (n - 1) * (left**2).sum()) ** 0.5 / rows.sum()), n - 1


def _sums(values: Floats, blocks: Ints) -> tuple[Floats, Floats]:
    """Sum and number of rows of each block that has any, in order."""
    import numpy as np

    _, codes = np.unique(blocks, return_inverse=True)
    return np.bincount(codes, values).astype(np.float64), np.bincount(codes).astype(np.float64)


def _lean(left: Floats) -> float:
    """Long-run variance over variance, 1 or more, as of a first-order autoregression."""
    n, variance = len(left), float((left**2).mean())
    if variance == 0:
        return 1.0
    measured = float((left[1:] * left[:-1]).mean()) / variance + 1 / n
    rho = (LEAN_BLOCKS * LEAN_AT_FIRST + n * measured) / (LEAN_BLOCKS + n)
    rho = min(max(rho, 0.0), 0.9)
    return (1 + rho) / (1 - rho)


def _losses(request: GateInput, definition: Definition) -> tuple[Floats, Floats]:
    import numpy as np

    objective, against = definition.label.objective, request.champion
    if against is None:
        against = np.broadcast_to(np.asarray(request.baseline, float), request.candidate.shape)
    return row_losses(objective, request.y, against), row_losses(
        objective, request.y, request.candidate
    )


def _discover(
    rows: pa.Table,
    before: Floats,
    after: Floats,
    request: GateInput,
    known: Searches,
    until: int,
    definition: Definition,
) -> tuple[Evidence, Searches]:
    gate = definition.gate
    blocks = equal_mass(request.events, gate.blocks)
    count = int(blocks.max(initial=-1)) + 1
    if count < 2 * LEAST_BLOCKS:
        text = f"nothing searched: {count} blocks, {2 * LEAST_BLOCKS} needed"
        return Evidence(CHECK, Verdict.WARN, text, details={"searches": known.as_json()}), known
    excess = after - (1 + gate.slice_margin) * before
    matrix = encode(rows, definition.features, _categories(rows, definition))
    kinds = list(definition.features.values())
    mine = suspected(matrix, kinds, excess, blocks * STRETCHES // count)
    size, held = int(mine.sum()), len(set(blocks[mine].tolist()))
    if size < LEAST_ROWS or held < LEAST_BLOCKS:
        text = f"{size:,} rows in {held} blocks suspected, {LEAST_ROWS} in {LEAST_BLOCKS} needed"
        state = {"searches": known.as_json()}
        return Evidence(CHECK, Verdict.PASS, f"{text}: not asked", size, LEAST_ROWS, state), known
    level = known.level(gate.alpha)
    mean, lower = lower_bound(excess[mine], blocks[mine], float(excess.std()), level)
    worse = lower > 0
    known = known.after(found=worse)
    details: dict[str, Any] = {"rows": size, "level": level}
    text = (
        f"{size:,} suspected rows: {_lost(before, after, mine)}, excess {mean:.4f}, lower bound "
        f"{lower:.4f} {'>' if worse else '<='} 0 at level {level:.2g}: "
        f"{'worse' if worse else 'not shown to be worse'}"
    )
    if worse and (named := weakest(rows, definition.features, excess, blocks)) is not None:
        known = known.remember(named, until)
        there = named.mask(rows)
        text += f", most of all {named} ({int(there.sum()):,} rows: {_lost(before, after, there)})"
        details |= {"slice": str(named), "rule": named.as_json()}
    text += f"; question {known.asked}, {known.found} found so far"
    verdict = Verdict.PASS
    if worse:
        verdict = Verdict.WARN if request.champion is None else Verdict.BLOCK
    details["searches"] = known.as_json()
    return Evidence(CHECK, verdict, text, lower, 0.0, details), known


def _lost(before: Floats, after: Floats, mine: Mask) -> str:
    return f"loss {before[mine].mean():.4f} -> {after[mine].mean():.4f}"


def _categories(rows: pa.Table, definition: Definition) -> dict[str, tuple[str, ...]]:
    """The values of these rows, sorted; trees treat those that earlier stretches lack as others."""
    names = [n for n, kind in definition.features.items() if kind == "category"]
    return {n: tuple(sorted(rows[n].unique().drop_null().to_pylist())) for n in names}


def _watched(
    rows: pa.Table,
    before: Floats,
    after: Floats,
    request: GateInput,
    known: Searches,
    until: int,
    definition: Definition,
) -> tuple[Evidence, Searches]:
    """Each watched slice by all its rows: shown to be worse, looking worse, or neither."""
    gate, found, bad, unsure = definition.gate, [], [], []
    excess = after - (1 + gate.slice_margin) * before
    blocks = equal_mass(request.events, gate.blocks)
    for watched in known.watched:
        mine = watched.rule.mask(rows)
        if not mine.any():
            continue
        mean = float(excess[mine].mean())
        lower = mean - _half(excess[mine], blocks[mine], gate.alpha / len(known.watched))
        found.append((mean, f"{watched.rule} ({int(mine.sum()):,} rows): excess {mean:.4f}", lower))
        if lower > 0:
            bad.append(watched.rule)
        elif mean > 0:
            unsure.append(watched.rule)
    for rule in bad:
        known = known.remember(rule, until)
    if not found:
        text = f"{len(known.watched)} watched slices have no row in this holdout"
        return Evidence(WATCHED, Verdict.WARN, text, details={"searches": known.as_json()}), known
    verdict = Verdict.BLOCK if bad else Verdict.INCONCLUSIVE if unsure else Verdict.PASS
    if verdict is Verdict.BLOCK and request.champion is None:
        verdict = Verdict.WARN
    most, said, lower = max(found)
    sign = ">" if bad else "<="
    text = (
        f"{len(bad)} of {len(known.watched)} watched slices worse, {len(unsure)} look so; most "
        f"{said}, lower bound {lower:.4f} {sign} 0"
    )
    details = {"searches": known.as_json(), "slices": [one[1] for one in found]}
    return Evidence(WATCHED, verdict, text, most, 0.0, details), known


def _half(excess: Floats, blocks: Ints, alpha: float) -> float:
    """Distance from the mean excess to its one-sided bound, rows of a block as one observation."""
    if len(set(blocks.tolist())) < FEWEST:
        return float("inf")
    _, error, freedom = _mean(excess, blocks)
    return student_quantile(1 - alpha, freedom) * error
