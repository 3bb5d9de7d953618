"""Ways to train, as a pipeline file declares them.

>>> [member.every for member in Mixture().members]
[5, 2, 1]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ratchet.contracts.defence import Part

NAME = r"^[a-z][a-z0-9_-]{0,62}$"


class Recipe(Part):
    """One way to train: which history, which weights, which hyperparameters."""

    name: str = Field(pattern=NAME)
    history: int | None = Field(default=None, ge=1)  # windows; left out: all history
    half_life: float | None = Field(default=None, gt=0)  # windows; left out: equal weights
    rounds: int = Field(default=100, ge=1, le=10_000)
    max_depth: int = Field(default=6, ge=1, le=16)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    min_child_weight: float = Field(default=1.0, ge=0)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    reg_lambda: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=256, ge=2, le=4096)


class Member(Recipe):
    """One recipe of a mixture: trained anew every so many windows.

    One with a teacher learns besides from rows whose labels are not mature, each with the teacher's
    score as its label (:mod:`ratchet.self_train.pseudo`).
    """

    every: int = Field(default=1, ge=1, le=520)
    teacher: str | None = Field(default=None, pattern=NAME)  # another member

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``teacher`` where there is none, so that digests stay what they were."""
        found: dict[str, Any] = dump(self)
        if found.get("teacher") is None:
            found.pop("teacher", None)
        return found


# Leaves of few rows are overconfident, and a window may hold only some hundred; with so few rows 64
# bins tell as much as 256, and a tree of depth 6 costs what one of depth 4 did.
_CAREFUL: dict[str, Any] = {"min_child_weight": 10, "max_bin": 64}

# All that was ever known, seldom; the last weeks, often; the newest labels, always.
STANDARD = (
    Member(name="anchor", every=5, max_depth=6, rounds=40, learning_rate=0.2, **_CAREFUL),
    Member(
        name="recent", every=2, history=6, max_depth=3, rounds=30, learning_rate=0.3, **_CAREFUL
    ),
    Member(name="fresh", history=1, max_depth=5, rounds=25, learning_rate=0.3, **_CAREFUL),
)


class Mixture(Part):
    """Several deliberately different cheap recipes in one model, weighed by what each has shown."""

    members: tuple[Member, ...] = Field(default=STANDARD, min_length=1, max_length=16)

    @model_validator(mode="after")
    def _names_differ(self) -> Mixture:
        names = [m.name for m in self.members]
        if len(set(names)) != len(names):
            raise ValueError(f"members: names must differ, found {names}")
        return self

    @model_validator(mode="after")
    def _teachers_fit(self) -> Mixture:
        teachers = self.teachers
        for name, teacher in teachers.items():
            if teacher is None:
                continue
            others = [n for n, t in teachers.items() if t is None]
            if teacher not in others:
                raise ValueError(
                    f"members: the teacher of {name!r} is {teacher!r}; expected a member that has "
                    f"no teacher itself, one of {others}"
                )
        late = [m.name for m in self.members if m.teacher is not None and m.every != 1]
        if late:
            raise ValueError(
                f"members: {late} have a teacher and every > 1; expected every = 1, or they would "
                "be judged on rows that they were taught"
            )
        return self

    @property
    def teachers(self) -> dict[str, str | None]:
        """Each member's teacher, or None."""
        return {m.name: m.teacher for m in self.members}


# Ways to keep a model fresh: what each changes in the pipeline's file.
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "declared": {},
    "always": {"economics": None},
    "unsearched": {"search": None},
    "mixture": {"recipes": (), "mixture": Mixture(), "search": None},
    "full": {"recipes": (Recipe(name="full"),), "mixture": None, "search": None},
    "shallow": {"recipes": (Recipe(name="shallow", max_depth=3),), "mixture": None, "search": None},
    "sliding": {"recipes": (Recipe(name="sliding", history=8),), "mixture": None, "search": None},
}
