"""Completes or undoes promotions that were cut off between intent and done.

A promotion is: write ``intent``; move the alias; write ``done``. A kill can come after each. The
plan depends only on what the table and the registry hold, so it may itself be cut off and made
again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ratchet.contracts.lineage import Decision
from ratchet.register.rows import Entry


@dataclass(frozen=True)
class SetAlias:
    """Point ``champion`` at this version; None removes the alias: there was no champion before."""

    version: int | None


@dataclass(frozen=True)
class WriteDone:
    """Append this decision with phase ``done``, of the kind that its intent had."""

    decision: Decision
    kind: str
    completed: bool


Action = SetAlias | WriteDone


def unfinished(entries: Sequence[Entry]) -> list[Entry]:
    """The intents without a done, oldest first. Verify each one's ``decision.champion_after``."""
    done = {e.id for e in entries if e.phase == "done"}
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.phase == "intent" and entry.id not in done:
            first.setdefault(entry.id, entry)
    return list(first.values())


def recover(
    entries: Sequence[Entry], champion: int | None, verified: Collection[int]
) -> list[Action]:
    """What to do, in this order, before the next cycle; nothing when no intent is open.

    Only the newest entry's promotion can be completed: an older one was overtaken, and completing
    it would put an older model back.

    Args:
        entries: the decisions table, oldest first.
        champion: the version that the alias names now.
        verified: those versions of :func:`unfinished` intents that exist, were downloaded, fit
            their digests and predict.

    Returns:
        Alias moves before the ``done`` that reports them. Applied in full or in part, and planned
        again, they end with the alias at one of the newest intent's two versions and a ``done``
        for every intent.
    """
    actions: list[Action] = []
    for entry in unfinished(entries):
        decision = entry.decision
        newest = entry.id == entries[-1].id
        if newest and decision.champion_after in verified:
            target, final, completed = decision.champion_after, decision, True
        else:
            target, final, completed = decision.champion_before, _undone(decision, newest), False
        if newest and champion != target:
            actions.append(SetAlias(target))
        actions.append(WriteDone(final, entry.kind, completed))
    return actions


def _undone(decision: Decision, newest: bool) -> Decision:
    why = (
        f"version {decision.champion_after} could not be verified after the crash"
        if newest
        else "a later decision was made before it was completed"
    )
    champion = decision.champion_before
    stays = f"version {champion} stays champion" if champion else "there is no champion yet"
    reason = f"the promotion of version {decision.champion_after} was cut off and undone: {why}"
    return replace(
        decision,
        outcome="error",
        champion_after=champion,
        reasons=(f"{reason}; {stays}" if newest else reason, *decision.reasons),
    )
