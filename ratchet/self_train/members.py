"""When a member of a mixture is trained, and on which windows.

>>> [trained_at(Member(name="anchor", every=8), known) for known in (1, 3, 7, 8, 15, 16)]
[1, 2, 4, 8, 8, 16]

Promise: plain functions of how many windows are known, so that a cycle that is run again, or a year
later, finds the same trainings; nothing after ``known`` is learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.recipes import Member
from ratchet.errors import NoCandidate

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.self_train.rows import Cut, Labelled


@dataclass(frozen=True)
class Plan:
    """The windows ``[first, end)`` that a member learns from, from the first that has labels."""

    first: int
    end: int


@dataclass(frozen=True)
class Moment:
    """A member's training as times (ticks): what was known before ``as_of``, of the events in
    ``[train_from, train_before)``; None: from the first."""

    member: Member
    as_of: int
    train_from: int | None
    train_before: int


def trained_at(member: Member, known: int) -> int:
    """How many windows were known when the model that is used now was trained.

    Every ``member.every`` windows; before the first of these at 1, 2, 4, ..., so that a young
    stream is not served by a model of its first window for long.
    """
    if known >= member.every:
        return known - known % member.every
    return 1 << (known.bit_length() - 1)


def plan(member: Member, known: int) -> Plan:
    """The windows behind a member's model when ``known`` windows have labels.

    Raises:
        ValueError: no window is known.
    """
    if known < 1:
        raise ValueError(f"known is {known}, expected at least one labelled window")
    end = trained_at(member, known)
    return Plan(max(end - member.history, 0) if member.history else 0, end)


def moments(
    members: Sequence[Member], definition: Definition, labelled: Labelled, cut: Cut, as_of: int
) -> list[Moment]:
    """Each member's training as of this cycle: now, or as it was so many windows ago.

    Args:
        labelled: what is known now; its first event is where the windows are counted from.
        cut: where training ends now.
        as_of: ticks, the end of this cycle's window.

    Raises:
        NoCandidate: no labelled row lies before the cut.
    """
    calendar = definition.calendar
    length, first = calendar.length, calendar.window_of(int(labelled.events[0])).start
    known = -((first - cut.train_before) // length)  # a window that is known in part counts
    if known < 1:
        raise NoCandidate(
            f"no labelled row before {calendar.clock.show(cut.train_before)}: all are held out for "
            "the gate; the next windows bring more"
        )
    return [
        now(member, definition, cut, as_of, ago=known - trained_at(member, known))
        for member in members
    ]


def now(member: Member, definition: Definition, cut: Cut, as_of: int, ago: int = 0) -> Moment:
    """A training as of this cycle, or ``ago`` windows before; arguments as of :func:`moments`."""
    length = definition.calendar.length
    return at(member, definition, as_of - ago * length, cut.train_before - ago * length)


def at(member: Member, definition: Definition, as_of: int, before: int) -> Moment:
    """A training as of a tick, of events before another."""
    length = definition.calendar.length
    since = None if member.history is None else before - member.history * length
    return Moment(member, as_of, since, before)
