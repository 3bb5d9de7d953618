"""How ways to keep a model fresh did on one stream, side by side.

>>> lost = {"full": {7: Lost(0.5, 0.6, 0.4)}, "mixture": {7: Lost(0.4, 0.6, 0.3), 8: Lost(1, 1, 1)}}
>>> [(s.policy, s.windows, s.served) for s in scores(lost, {"full": [], "mixture": []})]
[('full', 1, 0.5), ('mixture', 1, 0.4)]

Promise: every policy is judged on the same windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision

BILL = ("cpu", "training", "avoided")


class Lost(NamedTuple):
    """Mean losses on the rows of one window: of the champion that served when it began, of the
    first champion, and of the candidate that it was held out from, promoted or not; None where
    none was trained."""

    served: float
    frozen: float
    newest: float | None


@dataclass(frozen=True)
class Score:
    """How a policy did: mean losses over the windows that every policy can be judged on; not a
    number where there is none.

    Attributes:
        windows: how many these are.
        served, frozen, newest: as :class:`Lost`; the newest over those of them in which every
            policy trained a candidate.
        promoted: promotions in all windows.
        bill: CPU seconds in all windows: ``cpu``, of these ``training``, and ``avoided``.
    """

    policy: str
    windows: int
    served: float
    frozen: float
    newest: float
    promoted: int
    bill: Mapping[str, float]


def scores(
    lost: Mapping[str, Mapping[int, Lost]], made: Mapping[str, Sequence[Decision]]
) -> list[Score]:
    """A score a policy, in the order of ``lost``.

    Args:
        lost: policy to window index to losses.
        made: policy to its decisions.
    """
    shared = sorted(set.intersection(*(set(windows) for windows in lost.values())))
    trained = [w for w in shared if all(windows[w].newest is not None for windows in lost.values())]
    return [
        Score(
            policy,
            windows=len(shared),
            served=_mean([windows[w].served for w in shared]),
            frozen=_mean([windows[w].frozen for w in shared]),
            newest=_mean([n for w in trained if (n := windows[w].newest) is not None]),
            promoted=sum(d.outcome == "promoted" for d in made[policy]),
            bill={name: sum(d.bill.get(name, 0.0) for d in made[policy]) for name in BILL},
        )
        for policy, windows in lost.items()
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
