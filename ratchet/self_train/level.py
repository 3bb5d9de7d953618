"""What a member of a mixture loses beyond its level: how well it tells rows from one another.

>>> import numpy as np
>>> y, sure = np.array([0.0, 0.0, 0.0, 1.0]), np.array([-2.0, -2.0, -2.0, 2.0])
>>> bool(levelled_loss("binary", y, sure + 3) == levelled_loss("binary", y, sure))
True

Where the share of positives moves, whoever learned the newest windows has its level right and wins
on that alone, though it may rank worse, and by the time that its weight has grown the level has
moved on. So the weights of a mixture follow each member's loss after the shift of its log odds that
would have fitted the window best: miscalibration in the large (Van Calster et al. 2019) left out,
which is a part of the reliability term of a proper score (Murphy 1973; Broecker 2009). Promise: a
plain function of labels and margins; a shift of all margins does not change it beyond rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import scores_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STEPS = 40  # of Newton's method at most
CLOSE = 1e-9  # a step this small is the last
WIDEST = 1.0  # nats, the longest step: where all rows are sure a full one would overshoot


def levelled_loss(objective: str, y: Floats, margins: Floats) -> float:
    """The mean loss once the level is set right: one shift of all margins, or one for each class.

    Args:
        objective: ``binary``, ``multiclass`` or ``regression``.
        y: shape (rows,): class index or target.
        margins: before the link function; (rows,) or (rows, classes).

    Returns:
        In the unit of :func:`ratchet.contracts.metrics.row_losses`; 0 where all rows are of one
        class, which tells nothing of how they are told apart; NaN without rows.
    """
    import numpy as np

    if not len(y):
        return float("nan")
    if objective == "regression":
        return float(np.var(y - margins))
    if objective == "binary":
        margins = np.column_stack([np.zeros(len(margins)), margins])
    classes, outcome = np.unique(y.astype(np.int64), return_inverse=True)
    if len(classes) == 1:
        return 0.0
    # A class without a row asks for an endless shift: the best loss has it left out.
    levelled = _at_the_level_of(outcome, margins[:, classes])
    scores = scores_of("multiclass", levelled)
    return float(row_losses("multiclass", outcome.astype(np.float64), scores).mean())


def _at_the_level_of(outcome: NDArray[np.intp], margins: Floats) -> Floats:
    """The margins, shape (rows, classes), shifted for each class so that log loss is smallest: then
    the mean of each probability is the share of its class. Newton's method; log loss is convex."""
    import numpy as np

    rows, classes = margins.shape
    share = np.bincount(outcome, minlength=classes) / rows
    for _ in range(STEPS):
        chances = scores_of("multiclass", margins)
        mean = chances.mean(axis=0)
        curve = np.diag(mean) - chances.T @ chances / rows
        # Of shifts that differ by the same number for all classes, the shortest.
        step = np.linalg.lstsq(curve, share - mean, rcond=None)[0]
        longest = float(np.abs(step).max())
        margins = margins + step * min(1.0, WIDEST / max(longest, CLOSE))
        if longest < CLOSE:
            break
    return margins
