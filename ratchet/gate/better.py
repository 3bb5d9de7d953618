"""Is the candidate better? What decides, what informs, and what stands for both at the beginning.

>>> improvement(champion, candidate, known, definition, fresh=True).verdict   # doctest: +SKIP
<Verdict.PASS: 'PASS'>

Promise: only the sequential test promotes; one window by itself may stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import LOSS_NAME, figure
from ratchet.gate.bootstrap import Blocks, Bounds, bounds
from ratchet.gate.sequential import Comparison
from ratchet.gate.skill import Look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]

PASS, BLOCK, UNSURE = Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE


def improvement(
    champion: Floats,
    candidate: Floats,
    known: Comparison,
    definition: Definition,
    *,
    fresh: bool,
) -> Evidence:
    """``gate.improvement``: the sequential test, which decides.

    Args:
        champion, candidate: shape (rows,), losses of the same rows, so that what is hard for both
            models cancels out.
        known: the comparison, these rows included.
        definition: gives ``gate.alpha``.
        fresh: whether any of these rows was counted just now.
    """
    level = known.level(definition.gate.alpha)
    enough = known.evidence >= 1 / level
    shown = f"evidence {known.evidence:.3g} {'>=' if enough else '<'} {1 / level:.3g}"
    shown += f" over {known.windows} window{'s' if known.windows != 1 else ''}"
    if not fresh:
        shown += ", all rows counted before"
    before, after = float(champion.mean()), float(candidate.mean())
    return Evidence(
        "gate.improvement",
        PASS if enough else UNSURE,
        f"{LOSS_NAME[definition.label.objective]} {figure(before)} -> {figure(after)}, "
        f"improvement {figure(before - after)}; {shown}{'' if enough else ': cannot tell yet'}",
        known.evidence,
        1 / level,
        {
            "before": round(before, 8),
            "after": round(after, 8),
            "level": level,
            "lean": round(known.lean, 6),
            "comparison": known.as_json(),
        },
    )


def this_window(gain: Bounds, blocks: Blocks, definition: Definition) -> Evidence:
    """``gate.this_window``: these rows alone, by the paired block bootstrap; may stop, not promote.

    The sequential test speaks of all candidates since the champion came; this is the one that
    would be promoted.
    """
    least = definition.gate.min_improvement
    if gain.upper < 0:
        verdict, shown = BLOCK, f"upper bound {figure(gain.upper)} < 0: worse"
    elif gain.point <= least:
        verdict, shown = UNSURE, f"not above {least:g}: these rows do not speak for it"
    elif gain.lower > least:
        verdict, shown = PASS, f"lower bound {figure(gain.lower)} > {least:g}"
    else:
        verdict = Verdict.WARN
        shown = f"lower bound {figure(gain.lower)} <= {least:g}: would not do by itself"
    return Evidence(
        "gate.this_window",
        verdict,
        f"improvement {figure(gain.point)} in this window, {shown}",
        gain.lower,
        least,
        _numbers(gain, definition, blocks),
    )


def first_champion(
    constant: Floats,
    candidate: Floats,
    order: Look,
    finest: float,
    blocks: Blocks,
    definition: Definition,
) -> Evidence:
    """``gate.first_champion``: without a champion the candidate must beat a constant score.

    A smaller loss alone does not do: a constant nearer to this window's level has one too. So the
    order of the scores must follow the outcomes as well, which no constant's does.

    Args:
        constant: shape (rows,), losses of the best constant score of the training rows.
        candidate: shape (rows,), losses.
        order: from :func:`ratchet.gate.skill.look`.
        finest: differences of mean loss up to this are rounding.
        blocks: of the same rows.
        definition: gives ``gate.alpha``.
    """
    gain = bounds(constant - candidate, blocks, definition.gate.alpha)
    verdict, shown = _beats(gain, finest)
    if verdict is PASS and not order.enough:
        verdict = UNSURE
    return Evidence(
        "gate.first_champion",
        verdict,
        "no champion yet, so against a constant score: "
        f"{LOSS_NAME[definition.label.objective]} {figure(constant.mean())} -> "
        f"{figure(candidate.mean())}, improvement {figure(gain.point)}, {shown}; {order}",
        gain.lower,
        finest,
        {
            **_numbers(gain, definition, blocks),
            "order": {k: round(v, 8) for k, v in order._asdict().items()},
        },
    )


def _beats(gain: Bounds, finest: float) -> tuple[Verdict, str]:
    """Whether a candidate's loss is smaller than a constant's."""
    if gain.upper < 0:
        return BLOCK, f"upper bound {figure(gain.upper)} < 0: worse"
    if gain.lower > finest:
        return PASS, f"lower bound {figure(gain.lower)} > 0"
    if gain.lower > 0:
        return UNSURE, f"lower bound {figure(gain.lower)}: no more than rounding"
    return UNSURE, f"lower bound {figure(gain.lower)} <= 0: cannot tell"


def _numbers(gain: Bounds, definition: Definition, blocks: Blocks) -> dict[str, Any]:
    return {
        **{name: round(float(value), 8) for name, value in gain._asdict().items()},
        "blocks": blocks.count,
        "resamples": len(blocks.weights),
        "alpha": definition.gate.alpha,
    }
