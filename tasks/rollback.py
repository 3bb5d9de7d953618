"""Puts an earlier champion back, in the same two phases as a promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ratchet.contracts.lineage import Decision
from ratchet.errors import ModelError, Refused
from ratchet.gate import Comparison
from tasks import decisions, observe
from tasks.recover import recover
from tasks.register import CHAMPION, write

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def rollback(workspace: Workspace, version: int | None, *, by: str, reason: str) -> Decision:
    """Make ``version`` champion; None means the champion before this one.

    The version is downloaded, verified and asked to predict before the alias moves.

    Raises:
        Refused: there is no champion, none before it, it is the champion already, the version was
            never champion, or nobody says why.
        NotFound: no such version.
        ModelError: it does not load, or does not predict; nothing moved.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    with workspace.lease.hold(f"rollback by {by}"):
        recover(workspace)
        return put_back(workspace, version, by=by, reason=reason)


def put_back(workspace: Workspace, version: int | None, *, by: str, reason: str) -> Decision:
    """:func:`rollback` for a caller that holds the lease and has recovered."""
    made = decisions.done(workspace)
    current = workspace.registry.alias(workspace.name, CHAMPION)
    if current is None:
        raise Refused(f"{workspace.name}: there is no champion to roll back from")
    target = _target(made, current.version, version)
    prove(workspace, target)
    decision = _decide(workspace, made[-1], current.version, target, by, reason)
    write(workspace.tables, decision, "intent", kind="rollback", by=by)
    workspace.lease.check()
    workspace.registry.set_alias(workspace.name, CHAMPION, target)
    write(workspace.tables, decision, "done", kind="rollback", by=by)
    observe.decided(decision)
    return decision


def prove(workspace: Workspace, version: int) -> None:
    """Download, verify, and let the version predict its own reference rows in another process.

    Raises:
        ModelError: it does not load, or does not predict.
    """
    from ratchet.adapters.sandbox import predict_in_child
    from tasks.drift import reference_of

    bundle = workspace.registry.load(workspace.name, version)
    scores = predict_in_child(bundle, reference_of(bundle.reference).slice(0, 200))
    if not len(scores):
        raise ModelError(f"version {version}: it has no reference rows to predict; nothing moved")


def _target(made: list[Decision], current: int, version: int | None) -> int:
    served = [d.champion_after for d in made if d.champion_after is not None]
    if version == current:
        raise Refused(f"version {version} is the champion already")
    if version is not None:
        if version not in served:
            raise Refused(
                f"version {version} was never champion; only gated versions may serve: "
                f"{sorted(set(served)) or 'none'}"
            )
        return version
    moves = [d for d in made if d.champion_after == current and d.champion_before != current]
    if not moves or moves[-1].champion_before is None:
        raise Refused(f"version {current} is the first champion; there is none before it")
    return moves[-1].champion_before


def _decide(
    workspace: Workspace, newest: Decision, before: int, after: int, by: str, reason: str
) -> Decision:
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    return replace(
        Decision(
            pipeline=workspace.name,
            window=newest.window,
            window_index=newest.window_index,
            as_of=newest.as_of,
            cycle_key=f"{workspace.name}/rollback/{at}",
            definition_digest=workspace.digest,
            outcome="promoted",
            reasons=(f"rolled back from version {before} to {after} by {by}: {reason}",),
            ledger=_ledger(newest, before, after),
        ),
        champion_before=before,
        champion_after=after,
    )


def _ledger(newest: Decision, before: int, after: int) -> dict[str, Any]:
    """The comparison that ends here promoted nobody, so its share of alpha is used up."""
    kept = dict(newest.ledger)
    if "comparison" in kept:
        kept["comparison"] = Comparison.resumed(kept["comparison"], before, after).as_json()
    return kept
