"""How much of a mixture's weight is dealt out evenly: more where the world turns, less at rest.

>>> calm = {"0.02": 0.40, "0.3": 0.45}  # what the mixture lost, or would have, with each share
>>> believed([])["0.3"] > 0.9 > 0.1 > believed([calm] * 8)["0.3"]
True

What a member that has been bad for long gets of the weight costs little after a drift, when it may
be the best, and much in a world that rests or moves in seasons, where each window's noise speaks
through it. Which of the two a stream is shows in what mixtures with either share would have lost
(Monteleoni and Jaakkola 2003, "Online learning of non-stationary sequences"). Promise: plain
arithmetic on losses that were known at the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ratchet.self_train.belief import against, followed

SHARES = (0.02, 0.3)
RATE = 30.0  # how fast belief follows losses
DISCOUNT = 0.9  # what evidence is worth a window later
SHARE = 0.05  # of the belief, goes back to the prior each window, so that nothing dies out
PRIOR = 3.0  # nats by which the larger share is believed more, before anything was seen
MOST = 3.0  # nats by which one window may move belief against belief


def believed(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Share, as text, to how much it is believed; sums to 1.

    Args:
        losses: share, as text, to the mean loss, in nats, of the mixture that it gives, for windows
            whose labels are mature, oldest first, each on the first rows after those learned.
    """
    prior = {f"{s:g}": PRIOR if s == max(SHARES) else 0.0 for s in SHARES}
    known = [w for w in losses if all(math.isfinite(w.get(s, math.nan)) for s in prior)]
    evidence = [against({s: w[s] for s in prior}, RATE, MOST) for w in known]
    logs = followed(prior, evidence, discount=DISCOUNT, share=SHARE)
    return {s: math.exp(v) for s, v in logs.items()}
