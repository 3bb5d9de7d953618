"""The candidate on trusted rows of the held-out windows, which no sender can touch.

>>> [e.check for e in judge_trusted(None, definition)]                          # doctest: +SKIP
['gate.trusted']

The holdout comes from the stream: whoever poisons it decides what passes. The trusted rows of the
same windows are a random sample by an independent path, drawn row by row, so that a mean over them
has its textbook error whatever the window was like.

Promise: where a trusted source is declared, no candidate passes without having been judged on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import LOSS_NAME, figure, row_losses, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SMALLEST_SLICE = 50


@dataclass(frozen=True, eq=False)
class TrustedInput:
    """Trusted rows of the held-out windows, and three models' scores of them.

    Attributes:
        y: shape (rows,): class index or target.
        candidate: scores as :func:`ratchet.contracts.score.predict` gives them.
        champion: the same of the champion; None when there is none.
        baseline: the constant score that stands for a champion that is not there.
        anchor: scores of an early champion; None where there is none but the champion.
        slices: column to its values, shape (rows,).
        rest: the candidate's loss on each held-out row of the stream that is not among the trusted
            ones, shape (rest,).
        window, rest_window: the window of each trusted row, shape (rows,), and of each of the rest.
    """

    y: Floats
    candidate: Floats
    champion: Floats | None
    baseline: Floats | float
    anchor: Floats | None
    rest: Floats
    window: Ints
    rest_window: Ints
    slices: Mapping[str, Any] = field(default_factory=dict)


def judge_trusted(request: TrustedInput | None, definition: Definition) -> list[Evidence]:
    """``gate.trusted``, and with a champion ``gate.trusted_slices``, ``gate.loss_gap`` and
    ``gate.displacement``.

    Args:
        request: None where no trusted source is declared.
        definition: for ``[trusted]``, ``[shield]`` and ``gate.slice_margin``.
    """
    import numpy as np

    if request is None or definition.trusted is None:
        text = "degraded: no trusted source is declared, judged on the stream's own rows alone"
        return [Evidence("gate.trusted", Verdict.WARN, text)]
    rows, least = len(request.y), definition.trusted.min_rows
    if rows < least:
        text = f"{rows} trusted rows in the held-out windows, {least} needed"
        return [Evidence("gate.trusted", Verdict.INCONCLUSIVE, text, float(rows), float(least))]
    objective = definition.label.objective
    candidate = row_losses(objective, request.y, request.candidate)
    before = request.champion
    if before is None:
        before = np.broadcast_to(np.asarray(request.baseline, float), request.candidate.shape)
    champion = row_losses(objective, request.y, before)
    found = [_overall(champion, candidate, definition), _gap(candidate, request, definition)]
    if request.champion is not None and definition.gate.slices:
        slices = no_slice_worse("trusted", request.slices, champion, candidate, definition)
        found.append(slices)
    if request.anchor is not None:
        anchor = row_losses(objective, request.y, request.anchor)
        found.append(_displacement(anchor, candidate, definition))
    return found


def mean_and_bound(values: Floats, alpha: float) -> tuple[float, float]:
    """Mean, and the distance of its one-sided bound, by Student's t over the rows."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    return float(values.mean()), student_quantile(1 - alpha, n - 1) * error


def _overall(champion: Floats, candidate: Floats, definition: Definition) -> Evidence:
    gain, half = mean_and_bound(champion - candidate, definition.gate.alpha)
    margin = definition.gate.slice_margin * float(champion.mean())
    if gain - half >= -margin:
        verdict, said = Verdict.PASS, f"lower bound {figure(gain - half)} >= -{figure(margin)}"
    elif gain + half < -margin:
        verdict = Verdict.BLOCK
        said = f"upper bound {figure(gain + half)} < -{figure(margin)}: worse"
    else:
        verdict = Verdict.INCONCLUSIVE
        said = f"lower bound {figure(gain - half)} < -{figure(margin)}: cannot tell"
    text = (
        f"{LOSS_NAME[definition.label.objective]} on {len(champion):,} trusted rows "
        f"{figure(champion.mean())} -> {figure(candidate.mean())}, improvement {figure(gain)}, "
        f"{said}"
    )
    return Evidence("gate.trusted", verdict, text, gain - half, -margin)


def no_slice_worse(
    kind: str,
    slices: Mapping[str, Any],
    champion: Floats,
    candidate: Floats,
    definition: Definition,
) -> Evidence:
    """Blocks where a slice is shown to be worse; what 1,000 rows cannot resolve is left to the
    stream's own rows (``gate.slices``).

    Args:
        kind: of rows, ``trusted`` or ``sealed``; a random sample, drawn row by row.
        slices: column to its values, shape (rows,).
        champion, candidate: shape (rows,), losses.
        definition: gives ``gate.slices``, ``gate.slice_margin`` and ``gate.alpha``.
    """
    import numpy as np

    groups = []
    for column in definition.gate.slices:
        values = np.asarray([str(v) for v in slices[column].to_pylist()])
        for value in np.unique(values):
            mine = values == value
            if mine.sum() >= SMALLEST_SLICE:
                groups.append((f"{column}={value}", mine))
    worse, gate = [], definition.gate
    for name, mine in groups:
        gain, half = mean_and_bound((champion - candidate)[mine], gate.alpha / len(groups))
        margin = gate.slice_margin * float(champion[mine].mean())
        if gain + half < -margin:
            worse.append(f"{name} ({int(mine.sum())} rows): upper bound {figure(gain + half)}")
    text = f"{len(worse)} of {len(groups)} slices worse on {kind} rows, 0 allowed"
    verdict = Verdict.BLOCK if worse else Verdict.PASS
    shown = f"{text}: {'; '.join(worse[:3])}" if worse else text
    return Evidence(f"gate.{kind}_slices", verdict, shown, float(len(worse)), 0.0)


def _gap(candidate: Floats, request: TrustedInput, definition: Definition) -> Evidence:
    """Trusted rows and the rest of a window are one population, unless one was tampered with.

    Window by window: where one's own rows were kept out, only trusted ones are held out, and a hard
    week would look like a lie. The differences are averaged with the weights that leave the least
    variance if all have the same (Cochran 1954).
    """
    import numpy as np

    alpha, rest = definition.shield.alpha, request.rest
    pairs = [
        (candidate[request.window == w], rest[request.rest_window == w])
        for w in np.unique(request.window)
    ]
    pairs = [(ours, theirs) for ours, theirs in pairs if min(len(ours), len(theirs)) > 1]
    n, m = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    if m < len(candidate) / 10:
        text = f"{m} held-out rows beside the trusted ones: too few to compare losses"
        return Evidence("gate.loss_gap", Verdict.WARN, text)
    weights = [len(a) * len(b) / (len(a) + len(b)) for a, b in pairs]
    shares = [weight / sum(weights) for weight in weights]
    inside, beside = (
        sum(s * float(pair[side].mean()) for s, pair in zip(shares, pairs, strict=True))
        for side in (0, 1)
    )
    variance = sum(
        s * s * (float(a.var()) / len(a) + float(b.var()) / len(b))
        for s, (a, b) in zip(shares, pairs, strict=True)
    )
    p = math.erfc(abs(beside - inside) / math.sqrt(2 * variance)) if variance > 0 else 1.0
    verdict = Verdict.BLOCK if p < alpha else Verdict.PASS
    text = (
        f"loss on {m:,} of the stream's held-out rows {figure(beside)}, on {n:,} trusted "
        f"rows of the same windows {figure(inside)}: p {p:.2g} "
        f"{'<' if p < alpha else '>='} {alpha:g}"
    )
    return Evidence("gate.loss_gap", verdict, text, p, alpha)


def _displacement(anchor: Floats, candidate: Floats, definition: Definition) -> Evidence:
    """Many steps that are each "not worse by more than the margin" must not add up."""
    lost, half = mean_and_bound(candidate - anchor, definition.gate.alpha)
    budget = definition.shield.displacement * float(anchor.mean())
    verdict = Verdict.BLOCK if lost - half > budget else Verdict.PASS
    sign = ">" if verdict is Verdict.BLOCK else "<="
    text = (
        f"loss against an early champion {lost:+.4f} on trusted rows, at least "
        f"{figure(lost - half)} {sign} budget {figure(budget)}"
    )
    return Evidence("gate.displacement", verdict, text, lost - half, budget)
