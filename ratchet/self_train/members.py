"""When a member of a mixture is trained, and on which windows.

>>> [base_at(Member(name="anchor", every=8), known) for known in (1, 3, 7, 8, 15, 16)]
[1, 2, 4, 8, 8, 16]

Promise: plain functions of how many windows are known, so that a cycle that is run again, or a year
later, finds the same trainings; nothing after ``known`` is learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

from ratchet.contracts.recipes import Member, Recipe, Residual

# All that was ever known, seldom; the last weeks, often; the newest labels, always.
STANDARD = (
    Member(name="anchor", every=8, max_depth=4, rounds=60, learning_rate=0.15),
    Member(name="recent", every=2, history=6, max_depth=3, rounds=50, learning_rate=0.2),
    Member(name="fresh", history=1, max_depth=3, rounds=25, learning_rate=0.3),
)


@dataclass(frozen=True)
class Span:
    """Windows ``[first, end)``, counted from the first that has labels."""

    first: int
    end: int


@dataclass(frozen=True)
class Plan:
    """What a member's model of one moment consists of.

    Attributes:
        base: the windows that its base learns from.
        residual: the windows that the trees on top learn from; None where there are none.
        base_is_due: whether the base is trained at this moment, or was earlier.
    """

    base: Span
    residual: Span | None
    base_is_due: bool


def base_at(member: Member, known: int) -> int:
    """How many windows were known when the base that is used now was trained.

    Every ``member.every`` windows; before the first of these at 1, 2, 4, ..., so that a young
    stream is not served by a model of its first window for long.
    """
    if known >= member.every:
        return known - known % member.every
    return 1 << (known.bit_length() - 1)


def plan(member: Member, known: int) -> Plan:
    """The trainings behind a member's model when ``known`` windows have labels.

    Raises:
        ValueError: no window is known.
    """
    if known < 1:
        raise ValueError(f"known is {known}, expected at least one labelled window")
    end = base_at(member, known)
    first = max(end - member.history, 0) if member.history else 0
    top = member.residual
    residual = Span(max(known - top.history, 0), known) if top else None
    return Plan(Span(first, end), residual, base_is_due=end == known)


def residual_recipe(member: Member, residual: Residual) -> Recipe:
    """The recipe of the trees on top: the member's own, but for what ``residual`` says."""
    own = member.model_dump(exclude={"every", "residual"})
    said = residual.model_dump(exclude={"history"})
    return Recipe.model_validate({**own, **said, "history": residual.history, "half_life": None})
