"""The engine as a policy of the benchmark: declared members, mixed by their mature losses.

>>> steps = list(engine()(fits, 2))                                     # doctest: +SKIP

It uses the very functions of ``ratchet.self_train``: the plan of each member, the training, the
weights and the mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_fits import Fit, Fits
from benchmarks.engine_policies import Policy, Step
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import STANDARD, Member, Recipe
from ratchet.contracts.score import mix, scores_of
from ratchet.self_train.halves import foreseen
from ratchet.self_train.level import LevelSeen, levelled_loss, see_level, settle_level
from ratchet.self_train.members import plan
from ratchet.self_train.mixture import weigh
from ratchet.self_train.temperature import in_common, sharpness_losses, temper

Lost = Callable[[str, NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixture at one moment."""

    parts: Mapping[str, Fit]
    weights: Mapping[str, float]
    temperature: float = 1.0
    level: tuple[float, ...] = ()

    def margins(self, window: int) -> NDArray[np.float64]:
        """Log odds of the window's rows, shape (rows,)."""
        return mix(
            {n: fit.margins(window) for n, fit in self.parts.items()},
            self.weights,
            self.temperature,
            self.level,
        )

    def predict_seconds(self, window: int) -> float:
        """CPU seconds that all members took."""
        return sum(fit.predict_seconds(window) for fit in self.parts.values())


class Following:
    """What scored windows have said of a mixture: the level and the temperature of the next."""

    def __init__(self, tempered: bool = True, levelled: bool = True) -> None:
        self.tempered, self.levelled = tempered, levelled
        self.level = settle_level("binary", [])
        self._windows: list[LevelSeen] = []
        self._warmth: list[dict[str, float]] = []
        self._weights: list[Mapping[str, float]] = []

    def see(
        self, labels: NDArray[np.float64], plain: NDArray[np.float64], weights: Mapping[str, float]
    ) -> None:
        """One more window, by a mixture with these weights.

        Args:
            labels: shape (rows,).
            plain: shape (rows,), the mixture's log odds without temperature and level.
        """
        if self.levelled:
            self._windows.append(see_level("binary", labels, plain, self.level.whole))
            self.level = settle_level("binary", self._windows)
        if self.tempered:
            self._warmth.append(sharpness_losses("binary", labels, plain))
            self._weights.append(weights)

    def temperature(self, weights: Mapping[str, float]) -> float:
        """For a mixture with these weights."""
        alike = [in_common(*pair) for pair in pairwise([*self._weights, weights])]
        return temper(self._warmth, alike).value


def engine(
    members: Sequence[Member] = STANDARD,
    follow: bool = True,
    tempered: bool = True,
    halved: bool = True,
    levelled: bool = True,
) -> Policy:
    """The mixture; with ``follow`` off all members keep the same weight, with ``tempered`` off the
    temperature stays 1, with ``halved`` off nothing is foreseen from the halves of a window, with
    ``levelled`` off members are weighed by their losses as they are and no level is set."""
    lost = levelled_loss if levelled else _as_it_is

    def policy(fits: Fits, delay: int) -> Iterator[Step]:
        losses: list[dict[str, float]] = []
        following = Following(tempered, levelled)
        before: Mapping[str, Fit] = {}
        mixed: Mixed | None = None
        names, paid = [m.name for m in members], set[int]()
        for w in fits.judged:
            known = w - delay
            if before:  # the newest mature labels, by models that have learned up to just before
                losses.append(_losses(fits, before, known - 1, lost))
            if mixed:
                labels = fits.stream.windows[known - 1].labels.astype(float)
                plain = replace(mixed, temperature=1.0, level=()).margins(known - 1)
                following.see(labels, plain, mixed.weights)
            parts = {member.name: _fit(fits, member, known) for member in members}
            halves = halves_of(fits, members, known - 1) if halved and follow else {}
            trained = [fit for fit in parts.values() if id(fit) not in paid]
            paid |= {id(fit) for fit in trained}
            before = parts
            seen = list(losses) if follow else []
            if seen:
                on_halves = {n: lost_on_halves(pair, lost) for n, pair in halves.items()}
                seen[-1] = foreseen(seen[-1], on_halves)
            weights = weigh(names, seen).weights
            mixed = Mixed(parts, weights, following.temperature(weights), following.level.shift)
            yield Step(mixed, trained, [fit for pair in halves.values() for fit in pair])

    return policy


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


def _losses(fits: Fits, parts: Mapping[str, Fit], window: int, lost: Lost) -> dict[str, float]:
    labels = fits.stream.windows[window].labels.astype(float)
    return {n: lost("binary", labels, fit.margins(window)) for n, fit in parts.items()}


def _without(name: str) -> Policy:
    return engine([m for m in STANDARD if m.name != name])


# What each part of the engine is worth: the engine without it.
ABLATIONS: Mapping[str, Policy] = {
    "engine, equal weights": engine(follow=False),
    "engine, temperature 1": engine(tempered=False),
    "engine, no halves": engine(halved=False),
    "engine, own levels": engine(levelled=False),
    **{f"engine without {m.name}": _without(m.name) for m in STANDARD},
}
