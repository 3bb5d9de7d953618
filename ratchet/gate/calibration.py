"""Is the candidate as well calibrated as the champion, and well enough to serve at all?

>>> calibration(request, gain, blocks, definition).check   # doctest: +SKIP
'gate.calibration'

Promise: a difference that these rows cannot tell from chance does not block; the maximum, and what
a difference costs, hold whatever the rows can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.calibration import (
    calibration_bins,
    calibration_error,
    reliability,
    squared_gap,
)
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import figure, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.sections import Gate
    from ratchet.gate.bootstrap import Blocks, Bounds
    from ratchet.gate.judge import GateInput

    Floats = NDArray[np.float64]

MOST = 0.5**0.5  # of the error: half of its square is the level
PASS, WARN, BLOCK, UNSURE = Verdict.PASS, Verdict.WARN, Verdict.BLOCK, Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class _Pair:
    """Two models' calibration errors on the same rows.

    Attributes:
        found, before: the candidate's and the champion's.
        surely: the lower bound of what the candidate's squared error has beyond that of the
            champion's error and the margin; above 0: it is shown to be worse.
        extra: what the difference costs at least, in the units of the loss.
    """

    found: float
    before: float
    surely: float
    extra: float


def calibration(
    request: GateInput, gain: Bounds | None, blocks: Blocks, definition: Definition
) -> Evidence:
    """``gate.calibration``: no worse than the champion beyond the margin, and below the maximum.

    A mean loss holds what bad calibration costs (Broecker 2009), so a candidate with a smaller one
    has paid for it once; but who acts on a threshold feels it more than that. So where it is worse
    by more than the margin, this window's improvement must also exceed what that costs at least: of
    log loss twice the squared gap (Pinsker), of squared error the squared bias. Where it is shown
    to be worse (the jackknife of the paired difference), the lower bound of the improvement must;
    where that may be chance, the improvement itself, with a lower bound above 0.

    The maximum is for what may serve at all. Beside a champion that is above it itself, what is
    better calibrated by the margin, and surely better in this window, lets through with a warning:
    to hold it would keep the worse one serving.

    Args:
        gain: this window's improvement; None without a champion.
    """
    objective, gate = definition.label.objective, definition.gate
    found = calibration_error(objective, request.y, request.candidate)
    limit = gate.max_calibration_error
    verdict, name, said = PASS, "the maximum", ""
    if not found <= limit:
        verdict, said = BLOCK, _what_to_do(request, found, objective)
    if request.champion is not None and gain is not None:
        pair = _pair(request, found, blocks, definition)
        allowed = pair.before + gate.calibration_margin
        if verdict is PASS and allowed < limit:
            limit, name = allowed, f"the champion's + {gate.calibration_margin:g}"
            verdict, said = _beside(pair, gain, gate)
        elif verdict is BLOCK and _better_of_two(pair, gain, gate):
            limit, name = pair.before, f"the champion's, itself above the maximum of {limit:.4f}"
            verdict, said = WARN, ": the better of two that are badly calibrated"
    return Evidence(
        "gate.calibration",
        verdict,
        f"calibration error {found:.4f} {'<=' if found <= limit else '>'} {limit:.4f} "
        f"({name}){said}",
        found,
        limit,
        _bins(request, objective),
    )


def _what_to_do(request: GateInput, found: float, objective: str) -> str:
    """What lifts a model over the maximum: the maximum is a promise, so waiting does not."""
    waits = "; without a champion nothing serves until a candidate meets it"
    said = waits if request.champion is None else ""
    if objective == "multiclass":
        return said
    score, outcome = float(request.candidate.mean()), float(request.y.mean())
    off = abs(score - outcome) / (float(request.y.std()) if objective == "regression" else 1.0)
    if not off >= MOST * found:
        return said
    return (
        f": its scores are {figure(score)} on average, what came {figure(outcome)}, so the level "
        "moves faster than it is learned. Learn from fewer windows (history, half_life) or shorter "
        f"ones, or allow it by gate.max_calibration_error{said}"
    )


def _better_of_two(pair: _Pair, gain: Bounds, gate: Gate) -> bool:
    return pair.found <= pair.before - gate.calibration_margin and gain.lower > 0


def _beside(pair: _Pair, gain: Bounds, gate: Gate) -> tuple[Verdict, str]:
    """What a candidate below the maximum gets beside a champion, and why."""
    if pair.found <= pair.before + gate.calibration_margin:
        return PASS, ""
    cost = f"costs at least {figure(pair.extra)}"
    left = "the improvement left after that is"
    if gain.lower > pair.extra:
        return WARN, f", which {cost}, but {left} more: at least {figure(gain.lower)}"
    if pair.surely > 0:
        return BLOCK, f": shown at level {gate.alpha:g}"
    chance = f", which may be chance; it {cost}, "
    if gain.lower > 0 and gain.point > pair.extra:
        return WARN, f"{chance}but {left} more: {figure(gain.point)}"
    return UNSURE, (
        f"{chance}and {left} not surely more: {figure(gain.point)}, at least {figure(gain.lower)}"
    )


def _pair(request: GateInput, found: float, blocks: Blocks, definition: Definition) -> _Pair:
    """The comparison with its error: the jackknife over blocks of event time.

    Both models are asked about the same rows with each block left out in turn, so that what is hard
    for both cancels out. The squared errors are compared, because their estimates are about
    unbiased and a root is not. The jackknife errs on the wide side (Efron and Stein 1981); the
    bootstrap would do so by more, as it adds the noise of the bins once again.
    """
    import numpy as np

    objective, y, margin = definition.label.objective, request.y, definition.gate.calibration_margin
    assert request.champion is not None  # noqa: S101  asked by its caller
    before = calibration_error(objective, y, request.champion)
    without = [_without(objective, y, s, blocks) for s in (request.candidate, request.champion)]
    beyond = without[0] - (np.sqrt(np.maximum(without[1], 0.0)) + margin) ** 2
    n = blocks.count
    error = float(beyond.std()) * (n - 1) ** 0.5
    far = student_quantile(1 - definition.gate.alpha, n - 1) * error
    extra = _cost(objective, y, found) - _cost(objective, y, before)
    return _Pair(found, before, found**2 - (before + margin) ** 2 - far, extra)


def _without(objective: str, y: Floats, scores: Floats, blocks: Blocks) -> Floats:
    """The squared calibration error without each block, shape (blocks,); the bins stay."""
    import numpy as np

    score, truth, bins = calibration_bins(objective, y, scores)
    many = int(bins.max()) + 1
    cells = blocks.codes * many + bins

    def left(values: Floats | None) -> Floats:
        sums = np.bincount(cells, values, minlength=blocks.count * many)
        parts = sums.reshape(blocks.count, many).astype(np.float64)
        return np.asarray(parts.sum(axis=0) - parts)

    spread = None if objective != "regression" else float(y.var())
    return squared_gap(left(None), left(score), left(truth), spread)


def _cost(objective: str, y: Floats, error: float) -> float:
    """What a calibration error costs at least, in the units of the loss."""
    return error**2 * float(y.var()) if objective == "regression" else 2 * error**2


def _bins(request: GateInput, objective: str) -> dict[str, Any]:
    """Each model's reliability diagram: [mean score, mean outcome, rows] of each bin."""
    sides = {"candidate": request.candidate, "champion": request.champion}
    return {
        name: [
            [round(float(score), 6), round(float(outcome), 6), int(rows)]
            for score, outcome, rows in zip(*reliability(objective, request.y, scores), strict=True)
        ]
        for name, scores in sides.items()
        if scores is not None
    }
