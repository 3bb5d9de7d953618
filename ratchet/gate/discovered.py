"""Is the candidate worse in a slice that nobody declared? Asked last, and remembered.

>>> judge_discovered(request, rows, known, definition).evidence[0].check        # doctest: +SKIP
'gate.discovered'

**Two halves.** The holdout's blocks of event time go by stretches, a coin for each pair of
neighbouring stretches, to one half or the other. One half is searched for the slice in which the
candidate's loss most exceeds what is allowed (:mod:`ratchet.gate.weak`); only the other half is
asked whether it is so. Whatever was searched, the finding's test is that of one slice.

**The test.** A row's excess is the candidate's loss less (1 + ``gate.slice_margin``) x the
champion's. The slice is worse where Student's lower bound of its mean excess in the asked half lies
above 0, rows of a block as one observation; neighbouring blocks that lean on one another widen it.

**Over the life of a pipeline.** The t-th question is asked at level ``gate.alpha x g(t) x b(r)``,
r one more than the slices found so far; all g sum to 1, and ``b(r)`` is the sum of the first r of
``k g(k)``: LOND (Javanmard and Montanari 2018), reshaped so that it holds however the questions
depend on one another (Zrnic, Ramdas and Jordan 2021, "Asynchronous online testing of multiple
hypotheses"). Of the slices that are ever said to be worse at most the share alpha are not, on
average. Nothing is asked of a candidate that something else stops, nor where the searched half
shows nothing suspicious: that costs nothing.

**Remembered.** A slice that was found is watched for some windows: nothing passes that looks worse
there beyond the margin, by the whole holdout and without any bound, because what was weak once must
look well; and what is shown to be worse blocks.

Promise: a pure function of the state before and of the rows; nothing is asked twice of one cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.contracts.betting import FEWEST
from ratchet.contracts.calibration import equal_mass
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import row_losses, student_quantile
from ratchet.gate.judge import GateInput
from ratchet.gate.searches import Searches
from ratchet.gate.weak import LEAST_BLOCKS, Suspect, weakest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

CHECK, WATCHED = "gate.discovered", "gate.watched"
STRETCHES = 8  # of event time, in each pair one is searched and one asked
SUSPICIOUS = 2.5  # standard errors above 0 in the searched half from which it is worth a question
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


def halves(events: Ints, blocks: int, seed: tuple[int, ...]) -> tuple[Ints, Mask]:
    """Block of each row, from 0 in order of event time, and which rows are asked; shape (rows,).

    Args:
        events: shape (rows,), ticks.
        blocks: how many at most.
        seed: of the coins; numbers of 0 or more.
    """
    import numpy as np

    codes = equal_mass(events, blocks)
    count = int(codes.max()) + 1 if len(codes) else 0
    coins = np.random.default_rng(seed).integers(0, 2, STRETCHES // 2)
    stretch = np.arange(count) * STRETCHES // max(count, 1)
    return codes, ((stretch % 2) == coins[stretch // 2])[codes]


def lower_bound(
    excess: Floats, blocks: Ints, asked: Mask, spread: float, level: float
) -> tuple[float, float]:
    """Mean excess of a slice's asked rows, and its lower bound at this level.

    Args:
        excess: shape (rows,), of the slice's rows.
        blocks: shape (rows,): their blocks, from 0 in order of event time.
        asked: shape (rows,): the rows that count; the others say how far neighbours lean.
        spread: standard deviation of the excess of all searched rows. A slice that stands out often
            does so because its rows hold none of the rare large values, so the error is not taken
            to be smaller than this lets expect.
        level: chance of a bound above the true mean.
    """
    sums, rows = _sums(excess[~asked], blocks[~asked])
    if len(sums) < FEWEST or len(set(blocks[asked].tolist())) < FEWEST:
        return 0.0, float("-inf")
    mean, error, freedom = _mean(excess[asked], blocks[asked])
    error = max(error, spread / float(asked.sum()) ** 0.5)
    error *= _lean(sums - rows * sums.sum() / rows.sum()) ** 0.5
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
    seed = (definition.train.seed, request.holdout_from % 2**63)
    blocks, asked = halves(request.events, gate.blocks, seed)
    if not len(blocks) or int(blocks.max()) + 1 < 2 * LEAST_BLOCKS:
        text = f"nothing searched: {len(set(blocks.tolist()))} blocks, {2 * LEAST_BLOCKS} needed"
        return Evidence(CHECK, Verdict.WARN, text, details={"searches": known.as_json()}), known
    excess = after - (1 + gate.slice_margin) * before
    suspect = weakest(rows, definition.features, excess, blocks, asked)
    if suspect is None or suspect.steps < SUSPICIOUS:
        return _nothing(suspect, known), known
    mine, level = suspect.rule.mask(rows), known.level(gate.alpha)
    spread = float(excess[~asked].std())
    mean, lower = lower_bound(excess[mine], blocks[mine], asked[mine], spread, level)
    worse = lower > 0
    known = known.after(found=worse)
    if worse:
        known = known.remember(suspect.rule, until)
    half = mine & asked
    return _asked(suspect, mine, half, before, after, (mean, lower), level, known, request), known


def _nothing(suspect: Suspect | None, known: Searches) -> Evidence:
    details: dict[str, Any] = {"searches": known.as_json()}
    if suspect is None:
        return Evidence(CHECK, Verdict.PASS, "no slice has rows enough to search", details=details)
    text = (
        f"weakest slice {suspect.rule}: beyond the margin by {suspect.steps:.2f} standard errors "
        f"on the searched half < {SUSPICIOUS:g}: not asked"
    )
    return Evidence(CHECK, Verdict.PASS, text, suspect.steps, SUSPICIOUS, details)


def _asked(
    suspect: Suspect,
    mine: Mask,
    half: Mask,
    before: Floats,
    after: Floats,
    found: tuple[float, float],
    level: float,
    known: Searches,
    request: GateInput,
) -> Evidence:
    mean, lower = found
    worse = lower > 0
    verdict = Verdict.PASS
    if worse:
        verdict = Verdict.WARN if request.champion is None else Verdict.BLOCK
    text = (
        f"{suspect.rule} ({int(mine.sum()):,} rows): on the {int(half.sum()):,} of the asked half "
        f"loss {before[half].mean():.4f} -> {after[half].mean():.4f}, excess {mean:.4f}, lower "
        f"bound {lower:.4f} {'>' if worse else '<='} 0 at level {level:.2g}: "
        f"{'worse' if worse else 'not shown to be worse'}; question {known.asked}, "
        f"{known.found} found so far"
    )
    details = {
        "slice": str(suspect.rule),
        "rule": suspect.rule.as_json(),
        "rows": int(mine.sum()),
        "level": level,
        "searched": round(suspect.steps, 6),
        "searches": known.as_json(),
    }
    return Evidence(CHECK, verdict, text, lower, 0.0, details)


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
