"""Is the candidate better? What decides, what informs, and what stands for both at the beginning.

>>> known = count(known, events, champion - candidate, noise, definition)     # doctest: +SKIP
>>> improvement(champion, candidate, known, definition, fresh=True).verdict   # doctest: +SKIP
<Verdict.PASS: 'PASS'>

Promise: only the sequential test promotes; one window by itself may stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import CLIP, LOSS_NAME
from ratchet.gate.bootstrap import FEWEST, Blocks, Bounds, block_means, bounds
from ratchet.gate.sequential import Comparison, bet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PASS, BLOCK, UNSURE = Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE


def seen_until(known: Comparison, events: Ints) -> int:
    """Tick up to which rows are counted, once these are."""
    return max(int(events.max()) + 1, known.judged_before or 0)


def disagreement(objective: str, candidate: Floats, champion: Floats) -> Floats:
    """Variance of each row's difference in loss, up to a factor, if the truth lies between the two.

    Known before any label. Both scores have shape (rows,) or (rows, classes); the result (rows,).
    """
    import numpy as np

    if objective == "regression":
        return np.asarray((candidate - champion) ** 2, dtype=np.float64)
    if objective == "binary":
        candidate, champion = (np.stack([1 - s, s], axis=1) for s in (candidate, champion))
    middle = (candidate + champion) / 2
    ratio = np.log(np.clip(candidate, CLIP, 1)) - np.log(np.clip(champion, CLIP, 1))
    mean = (middle * ratio).sum(axis=1)
    return np.asarray((middle * (ratio - mean[:, None]) ** 2).sum(axis=1), dtype=np.float64)


def count(
    known: Comparison, events: Ints, gains: Floats, noise: Floats, definition: Definition
) -> Comparison:
    """The comparison after the rows of this holdout that no decision has counted yet.

    A block's gain is taken in units of what the models' disagreement lets expect, so that one loud
    day does not drown ten quiet ones (weights by precision).

    Args:
        known: before.
        events: shape (rows,), ticks.
        gains: shape (rows,), the champion's loss less the candidate's.
        noise: shape (rows,), from :func:`disagreement`.
        definition: gives ``gate.blocks`` (of a whole holdout) and ``gate.min_improvement``.
    """
    import numpy as np

    fresh = events >= (known.judged_before if known.judged_before is not None else -np.inf)
    if not fresh.any():
        return known
    blocks = max(FEWEST, round(definition.gate.blocks * float(fresh.mean())))
    means = block_means(events[fresh], gains[fresh], blocks) - definition.gate.min_improvement
    units = np.sqrt(block_means(events[fresh], noise[fresh], blocks))
    means = np.divide(means, units, np.zeros_like(means), where=units > 0)
    return bet(known, means, seen_until(known, events))


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
        f"{LOSS_NAME[definition.label.objective]} {before:.4f} -> {after:.4f}, "
        f"improvement {before - after:.4f}; {shown}{'' if enough else ': cannot tell yet'}",
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


def this_window(gains: Floats, blocks: Blocks, definition: Definition) -> Evidence:
    """``gate.this_window``: these rows alone, by the paired block bootstrap; may stop, not promote.

    The sequential test speaks of all candidates since the champion came; this is the one that
    would be promoted.
    """
    gate = definition.gate
    gain, least = bounds(gains, blocks, gate.alpha), gate.min_improvement
    if gain.upper < 0:
        verdict, shown = BLOCK, f"upper bound {gain.upper:.4f} < 0: worse"
    elif gain.point <= least:
        verdict, shown = UNSURE, f"not above {least:g}: these rows do not speak for it"
    elif gain.lower > least:
        verdict, shown = PASS, f"lower bound {gain.lower:.4f} > {least:g}"
    else:
        verdict = Verdict.WARN
        shown = f"lower bound {gain.lower:.4f} <= {least:g}: would not do by itself"
    return Evidence(
        "gate.this_window",
        verdict,
        f"improvement {gain.point:.4f} in this window, {shown}",
        gain.lower,
        least,
        _numbers(gain, definition, blocks),
    )


def first_champion(
    constant: Floats, candidate: Floats, blocks: Blocks, definition: Definition
) -> Evidence:
    """``gate.first_champion``: without a champion the candidate must beat a constant score.

    Args:
        constant: shape (rows,), losses of the best constant score of the training rows.
        candidate: shape (rows,), losses.
        blocks: of the same rows.
        definition: gives ``gate.alpha``.
    """
    gain = bounds(constant - candidate, blocks, definition.gate.alpha)
    if gain.lower > 0:
        verdict, shown = PASS, f"lower bound {gain.lower:.4f} > 0"
    elif gain.upper < 0:
        verdict, shown = BLOCK, f"upper bound {gain.upper:.4f} < 0: worse"
    else:
        verdict, shown = UNSURE, f"lower bound {gain.lower:.4f} <= 0: cannot tell"
    return Evidence(
        "gate.first_champion",
        verdict,
        "no champion yet, so against a constant score: "
        f"{LOSS_NAME[definition.label.objective]} {constant.mean():.4f} -> {candidate.mean():.4f}, "
        f"improvement {gain.point:.4f}, {shown}",
        gain.lower,
        0.0,
        _numbers(gain, definition, blocks),
    )


def _numbers(gain: Bounds, definition: Definition, blocks: Blocks) -> dict[str, Any]:
    return {
        **{name: round(float(value), 8) for name, value in gain._asdict().items()},
        "blocks": blocks.count,
        "resamples": len(blocks.weights),
        "alpha": definition.gate.alpha,
    }
