"""The level of a mixture: its members are weighed without it, and it is set by the newest windows.

>>> import numpy as np
>>> y, sure = np.array([0.0, 0.0, 0.0, 1.0]), np.array([-2.0, -2.0, 2.0, 2.0])
>>> bool(np.isclose(levelled_loss("binary", y, sure + 3), levelled_loss("binary", y, sure)))
True
>>> windows = [LevelSeen((1.0,), {f"{s:g}": 0.70 - 0.1 * s for s in SHARES})] * 6
>>> 0.6 < settle_level("binary", windows).shift[0] < 0.8
True

Where the share of positives moves, whoever learned the newest windows has its level right and wins
on that alone, though it may rank worse. So the weights of a mixture follow each member's loss after
the shift of its log odds that would have fitted the window best: without miscalibration in the
large (Van Calster et al. 2019), a part of the reliability term of a proper score (Murphy 1973).
The level itself is one shift of the mixture, as in online Platt scaling (Gupta and Ramdas 2023):
what the last windows asked for, as far as such shifts have paid. Promise: plain arithmetic on what
was known at the time; without evidence nothing is shifted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import scores_of
from ratchet.self_train.belief import against, followed
from ratchet.self_train.mixture import nats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STEPS = 40  # of Newton's method at most
CLOSE = 1e-9  # a step this small is the last
WIDEST = 1.0  # nats, the longest step: where all rows are sure a full one would overshoot
FARTHEST = 3.0  # log odds that one window can ask for
FADES = 0.5  # what a window's wish is worth a window later
AT_REST = 0.5  # windows that are taken to have asked for no shift
REACH = 12  # windows
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the shift
RATE = 20.0  # how fast the share follows losses
DISCOUNT = 0.9  # what evidence is worth a window later
SHARE = 0.05  # that goes back to the prior each window, so that nothing dies out
PRIOR = 1.0  # nats by which no shift is believed more than any, before anything was seen
MOST = 3.0  # nats by which one window may move belief against belief


@dataclass(frozen=True)
class LevelSeen:
    """What one window said of a mixture that had not learned it.

    Attributes:
        asked: the shift that would have fitted best: one number, or one for each class; empty
            where the window cannot tell.
        losses: share of the shift that was ready then, as text, to the mean loss with it.
    """

    asked: tuple[float, ...]
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Level:
    """A shift of a mixture's margins; empty for none.

    Attributes:
        shift: one number, or one for each class: what is added.
        whole: what the windows ask for, of which ``shift`` is a share.
        because: in words.
    """

    shift: tuple[float, ...]
    whole: tuple[float, ...]
    because: str


def levelled_loss(objective: str, y: Floats, margins: Floats) -> float:
    """The mean loss once the level is set right: one shift of all margins, or one for each class.

    Args:
        objective: ``binary``, ``multiclass`` or ``regression``.
        y: shape (rows,): class index or target.
        margins: before the link function; (rows,) or (rows, classes).

    Returns:
        Log loss in nats, not clipped, or the squared error; 0 where all rows are of one class,
        which tells nothing of how they are told apart; NaN without rows.
    """
    import numpy as np

    if not len(y):
        return float("nan")
    if objective == "regression":
        return float(np.var(y - margins))
    classes, outcome = np.unique(y.astype(np.int64), return_inverse=True)
    if len(classes) == 1:
        return 0.0
    # A class without a row asks for an endless shift: the best loss has it left out.
    held = _by_class(objective, margins)[:, classes]
    held = held + _fitting(outcome, held)
    most = held.max(axis=1)
    whole = most + np.log(np.exp(held - most[:, None]).sum(axis=1))
    return float((whole - held[np.arange(len(y)), outcome]).mean())


def see_level(objective: str, y: Floats, margins: Floats, ready: Sequence[float]) -> LevelSeen:
    """What a window says of a mixture.

    Args:
        objective, y, margins: as of :func:`levelled_loss`; of the mixture before any shift.
        ready: the whole shift that its past had asked for (:attr:`Level.whole`).
    """
    import numpy as np

    shift = np.asarray(ready) if len(ready) else 0.0
    losses = {
        f"{s:g}": float(row_losses(objective, y, scores_of(objective, margins + s * shift)).mean())
        for s in SHARES
    }
    return LevelSeen(_asked(objective, y, margins), losses)


def settle_level(objective: str, windows: Sequence[LevelSeen]) -> Level:
    """The level for the next window, from what the windows before, oldest first, said.

    What they asked for fades fast; how much of it is given follows the losses that a share of it
    would have brought (Hedge over :data:`SHARES`, with fading evidence and a fixed share, as for
    the temperature), so that where the level wanders without a memory it is left alone.
    """
    known = [w for w in windows if _scored(w.losses)]
    wishes = [w.asked for w in known if w.asked][-REACH:]
    if not wishes:
        return Level((), (), "level as it is: no window has asked for a shift yet")
    counts = [FADES**age for age in reversed(range(len(wishes)))]
    whole = tuple(
        math.fsum(c * w for c, w in zip(counts, each, strict=True)) / (sum(counts) + AT_REST)
        for each in zip(*wishes, strict=True)
    )
    given = _given(nats(objective, [w.losses for w in known]))
    shift = tuple(given * w for w in whole)
    shown = ", ".join(f"{s:+.2g}" for s in shift)
    return Level(shift, whole, f"level {shown}, {given:.2f} of what the last windows asked for")


def _scored(losses: Mapping[str, float]) -> bool:
    return all(math.isfinite(losses.get(f"{s:g}", math.nan)) for s in SHARES)


def _given(losses: Sequence[Mapping[str, float]]) -> float:
    """The mean share of the shift, by belief."""
    prior = {f"{s:g}": PRIOR if s == 0 else 0.0 for s in SHARES}
    evidence = [against({s: w[s] for s in prior}, RATE, MOST) for w in losses]
    logs = followed(prior, evidence, discount=DISCOUNT, share=SHARE)
    return math.fsum(math.exp(v) * float(s) for s, v in logs.items())


def _asked(objective: str, y: Floats, margins: Floats) -> tuple[float, ...]:
    import numpy as np

    if not len(y):
        return ()
    if objective == "regression":
        return (_six(float((y - margins).mean())),)
    classes, outcome = np.unique(y.astype(np.int64), return_inverse=True)
    if len(classes) == 1:
        return ()
    every = _by_class(objective, margins)
    found = np.zeros(every.shape[1])
    found[classes] = _fitting(outcome, every[:, classes])
    if objective == "binary":
        found = found[1:] - found[:1]
    return tuple(_six(float(v)) for v in np.clip(found, -FARTHEST, FARTHEST))


def _by_class(objective: str, margins: Floats) -> Floats:
    """Margins with a column for each class; the negative one's are 0."""
    import numpy as np

    if objective == "binary":
        return np.column_stack([np.zeros(len(margins)), margins])
    return margins


def _fitting(outcome: NDArray[np.intp], margins: Floats) -> Floats:
    """The shift for each class that makes log loss smallest, shape (classes,): then the mean of
    each probability is the share of its class. Newton's method; log loss is convex.

    Args:
        outcome: shape (rows,), the column of each row's class; each class has a row.
        margins: shape (rows, classes).
    """
    import numpy as np

    rows, classes = margins.shape
    share, found = np.bincount(outcome, minlength=classes) / rows, np.zeros(classes)
    for _ in range(STEPS):
        chances = scores_of("multiclass", margins + found)
        mean = chances.mean(axis=0)
        curve = np.diag(mean) - chances.T @ chances / rows
        # Of shifts that differ by the same number for all classes, the shortest.
        step = np.linalg.lstsq(curve, share - mean, rcond=None)[0]
        longest = float(np.abs(step).max())
        found += step * min(1.0, WIDEST / max(longest, CLOSE))
        if longest < CLOSE:
            break
    return found


def _six(value: float) -> float:
    return float(f"{value:.6g}")
