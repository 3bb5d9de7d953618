"""The engine as a policy of the benchmark: declared members, mixed by their mature losses.

>>> steps = list(engine()(fits, 2))                                     # doctest: +SKIP

It uses the very functions of ``ratchet.self_train``: the plan of each member, the training, the
weights, how sure each member and the mixture may be, and its level.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_fits import Fit, Fits
from benchmarks.engine_policies import Policy, Step
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import STANDARD, Member, Recipe
from ratchet.contracts.score import mix, scores_of, sharpened
from ratchet.self_train.halves import foreseen, surprised
from ratchet.self_train.level import LevelSeen, levelled_loss, see_level, settle_level
from ratchet.self_train.members import plan
from ratchet.self_train.mixture import SHARE, Weighing, weigh
from ratchet.self_train.shares import SHARES, believed
from ratchet.self_train.temperature import BOLDNESS, sharpen, sharpness_losses, temper

Lost = Callable[[str, NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixture at one moment; ``by_share``: the weights that each share alone would give."""

    parts: Mapping[str, Fit]
    weights: Mapping[str, float]
    by_share: Mapping[str, Mapping[str, float]]
    sharpness: Mapping[str, float]
    temperature: float = 1.0
    level: tuple[float, ...] = ()

    def margins(self, window: int) -> NDArray[np.float64]:
        """Log odds of the window's rows, shape (rows,)."""
        own = {n: fit.margins(window) for n, fit in self.parts.items()}
        return mix(sharpened(own, self.sharpness), self.weights, self.temperature, self.level)

    def predict_seconds(self, window: int) -> float:
        """CPU seconds that all members took."""
        return sum(fit.predict_seconds(window) for fit in self.parts.values())


class Following:
    """What scored windows have said of a mixture and its members, for the next one.

    Args:
        delay: windows until labels are mature.
        sharp, dealt, tempered, levelled: whether members are sharpened, the share that is dealt out
            is learned, the mixture may be made surer, and its level is set.
    """

    def __init__(
        self,
        delay: int,
        *,
        sharp: bool = True,
        dealt: bool = True,
        tempered: bool = True,
        levelled: bool = True,
    ) -> None:
        self.delay, self.sharp, self.dealt = delay, sharp, dealt
        self.tempered, self.levelled = tempered, levelled
        self.level = settle_level("binary", [])
        self._windows: list[LevelSeen] = []
        self._wholes: list[tuple[float, ...]] = []
        self._members: dict[str, list[dict[str, float]]] = defaultdict(list)
        self._shares: list[dict[str, float]] = []
        self._bold: list[dict[str, float]] = []

    def see(
        self,
        labels: NDArray[np.float64],
        margins: Mapping[str, NDArray[np.float64]],
        made: Mixed,
    ) -> None:
        """One more window, by a mixture that had not learned it.

        Args:
            labels: shape (rows,).
            margins: each member's log odds of the same rows, shape (rows,).
        """
        sharp = sharpened(margins, made.sharpness)
        plain = mix(sharp, made.weights)
        for name, own in margins.items():
            self._members[name].append(sharpness_losses("binary", labels, own))
        lost = {
            s: row_losses("binary", labels, scores_of("binary", mix(sharp, w)))
            for s, w in made.by_share.items()
        }
        self._shares.append({s: float(v.mean()) for s, v in lost.items()})
        self._bold.append(sharpness_losses("binary", labels, plain, BOLDNESS))
        if self.levelled:
            served = self._wholes[-1 - self.delay] if len(self._wholes) > self.delay else ()
            self._windows.append(see_level("binary", labels, plain, served))
            self.level = settle_level("binary", self._windows)

    def mixed(
        self, parts: Mapping[str, Fit], weigh: Callable[[Mapping[str, float]], Weighing]
    ) -> Mixed:
        """The next mixture of these parts, weighed by beliefs in shares."""
        self._wholes.append(self.level.whole)
        found = believed(self._shares) if self.dealt else {SHARE: 1.0}
        return Mixed(
            parts,
            weigh(found).weights,
            {f"{s:g}": weigh({f"{s:g}": 1.0}).weights for s in SHARES},
            {n: sharpen(self._members[n]) if self.sharp else 1.0 for n in parts},
            temper(self._bold).value if self.tempered else 1.0,
            self.level.shift,
        )


def engine(
    members: Sequence[Member] = STANDARD,
    follow: bool = True,
    sharp: bool = True,
    dealt: bool = True,
    tempered: bool = True,
    halved: bool = True,
    levelled: bool = True,
) -> Policy:
    """The mixture; with ``follow`` off all members keep the same weight, with ``halved`` off
    nothing is foreseen from the halves of a window, with ``levelled`` off members are weighed by
    their losses as they are and no level is set; the others as of :class:`Following`."""
    lost = levelled_loss if levelled else _as_it_is

    def policy(fits: Fits, delay: int) -> Iterator[Step]:
        losses: list[dict[str, float]] = []
        following = Following(delay, sharp=sharp, dealt=dealt, tempered=tempered, levelled=levelled)
        made: Mixed | None = None
        names, paid = [m.name for m in members], set[int]()
        for w in fits.judged:
            known = w - delay
            if made:  # the newest mature labels, by models that have learned up to just before
                labels = fits.stream.windows[known - 1].labels.astype(float)
                margins = {n: fit.margins(known - 1) for n, fit in made.parts.items()}
                losses.append({n: lost("binary", labels, m) for n, m in margins.items()})
                following.see(labels, margins, made)
            parts = {member.name: _fit(fits, member, known) for member in members}
            turned = halved and follow and surprised(losses)
            halves = halves_of(fits, members, known - 1) if turned else {}
            trained = [fit for fit in parts.values() if id(fit) not in paid]
            paid |= {id(fit) for fit in trained}
            seen = list(losses) if follow else []
            if seen:
                on_halves = {n: lost_on_halves(pair, lost) for n, pair in halves.items()}
                seen[-1] = foreseen(seen[-1], on_halves)
            made = following.mixed(parts, partial(_weighed, names, seen))
            yield Step(made, trained, [fit for pair in halves.values() for fit in pair])

    return policy


def _weighed(
    names: Sequence[str], seen: Sequence[Mapping[str, float]], shares: Mapping[str, float]
) -> Weighing:
    return weigh(names, seen, shares=shares)


def _fit(fits: Fits, member: Member, known: int) -> Fit:
    found = plan(member, known)
    recipe = Recipe.model_validate(member.model_dump(exclude={"every"}))
    return fits.window(recipe, found.first, found.end)


def halves_of(fits: Fits, members: Sequence[Member], window: int) -> dict[str, list[Fit]]:
    """The trainings on the halves of the newest window, of members that learn it alone."""
    return {
        m.name: fits.halves(Recipe.model_validate(m.model_dump(exclude={"every"})), window)
        for m in members
        if m.history == 1 and m.every == 1
    }


def lost_on_halves(pair: Sequence[Fit], lost: Lost) -> float:
    """The mean loss of each half's model on the other half."""
    labels = [fit.stream.windows[1].labels.astype(float) for fit in pair]
    found = [lost("binary", y, fit.margins(1)) for y, fit in zip(labels, pair, strict=True)]
    return float(np.average(found, weights=[len(y) for y in labels]))


def _as_it_is(objective: str, y: NDArray[np.float64], margins: NDArray[np.float64]) -> float:
    return float(row_losses(objective, y, scores_of(objective, margins)).mean())


def _without(name: str) -> Policy:
    return engine([m for m in STANDARD if m.name != name])


# What each part of the engine is worth: the engine without it.
ABLATIONS: Mapping[str, Policy] = {
    "engine, equal weights": engine(follow=False),
    "engine, members as they are": engine(sharp=False),
    "engine, one share": engine(dealt=False),
    "engine, temperature 1": engine(tempered=False),
    "engine, no halves": engine(halved=False),
    "engine, own levels": engine(levelled=False),
    **{f"engine without {m.name}": _without(m.name) for m in STANDARD},
}
