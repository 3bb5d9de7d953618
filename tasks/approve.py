"""Asks a person before a promotion, where the pipeline says so or a check was left in doubt.

The cycle ends without waiting: its decision is *held*, and the lease is free, so that a rollback at
night never waits for a form. An answer runs the same window once more, which gives the same model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet import gate as core
from ratchet.contracts.evidence import worst
from ratchet.contracts.lineage import Decision, digest_of
from ratchet.errors import NotFound, Refused
from ratchet.register import describe
from tasks import decisions, show
from tasks.cycle import Cycle
from tasks.recover import begin
from tasks.self_train import STOOD_IN
from tasks.shortcut import settle_doubts

if TYPE_CHECKING:
    from tasks.workspace import Workspace

AGAIN = "approval"
POLL_SECONDS = 5


def have_the_last_word(cycle: Cycle) -> None:
    """Add a person's word, or that it is missing, to a candidate that passed everything else."""
    definition, candidate = cycle.workspace.definition, cycle.candidates.get(cycle.chosen or "")
    passed = worst(e.verdict for e in cycle.gate_evidence).lets_through
    doubts = core.doubts(cycle.gate_evidence)
    asked = definition.gate.approval or doubts or cycle.answer is not None
    if not asked or candidate is None or not passed:
        return
    if cycle.answer is None:
        cycle.gate_evidence.append(core.awaiting(cycle.workspace.name, cycle.label, doubts))
        return
    digest = candidate.manifest.lineage.model_digest
    said = core.answered(cycle.answer, digest)
    cycle.gate_evidence.append(said)
    if said.verdict.lets_through:
        settle_doubts(cycle)


def open_question(workspace: Workspace, what: str | None) -> Decision:
    """The decision that waits for a person: about this window, or the newest one.

    Raises:
        NotFound: nothing waits.
        Refused: what waited was overtaken by a later decision.
    """
    made = decisions.done(workspace, decisions.RECENT)
    if not made:
        raise NotFound(f"{workspace.name}: no window is decided yet")
    asked = decisions.find(workspace, what) if what else made[-1]
    if not asked.awaits_approval:
        raise NotFound(f"{workspace.name}: window {asked.window} does not wait for a person")
    if asked.cycle_key != made[-1].cycle_key:
        newest = made[-1]
        raise Refused(
            f"{workspace.name}: window {asked.window} was overtaken by the decision on "
            f"{newest.window} ({newest.outcome}); only the newest candidate can be approved"
        )
    return asked


def answered_cycle(workspace: Workspace, asked: Decision, answer: core.Answer) -> Cycle:
    """The asked cycle again, with the same history, so that it gives the same model."""
    window = workspace.calendar.window(asked.window_index)
    before = asked.cycle_key.removeprefix(workspace.key(window)).strip("/")
    cycle = begin(workspace, window, again="/".join(p for p in (before, AGAIN) if p))
    cycle.history = [d for d in cycle.history if d.cycle_key != asked.cycle_key]
    cycle.ledger = dict(cycle.history[-1].ledger) if cycle.history else {}
    if "search" in asked.ledger:  # what was tried stays; changes of this window hold after it
        cycle.ledger["search"] = asked.ledger["search"]
    cycle.rows_in = asked.rows_in
    made_anew = ("gate.", "register.", STOOD_IN)
    cycle.data_evidence = [e for e in asked.evidence if not e.check.startswith(made_anew)]
    cycle.answer = answer
    return cycle


def ask(workspace: Workspace, decision: Decision) -> tuple[bool, str, str] | None:
    """Pause this flow run until a person fills in the form on its page: yes or no, who, why.

    None where no form can be shown (no Prefect server), or nobody answered in time: the question
    stays open for ``ratchet approve``.
    """
    if not decision.awaits_approval or not show.on_a_server():
        return None
    from prefect.exceptions import FlowPauseTimeout
    from prefect.flow_runs import pause_flow_run
    from prefect.input import RunInput
    from pydantic import Field

    class Approval(RunInput):
        approve: bool = Field(default=False, description="Promote this candidate?")
        by: str = Field(min_length=2, max_length=100, description="Who decides.")
        reason: str = Field(min_length=3, max_length=500, description="Why; it is kept.")

    page = Approval.with_initial_data(description=describe(decision))
    show.log(f"{decision.window}: waits for a person; press Resume on this run's page")
    try:
        said = pause_flow_run(
            wait_for_input=page,
            timeout=_patience(workspace),
            poll_interval=POLL_SECONDS,
            key=digest_of([decision.cycle_key])[:16],  # Prefect allows no slash in it
        )
    except FlowPauseTimeout:
        return None
    return said.approve, said.by, said.reason


def _patience(workspace: Workspace) -> int:
    """Seconds: no longer than a window, because the next one must not wait for a form."""
    calendar, hours = workspace.calendar, workspace.definition.gate.approval_hours
    longest = calendar.length / 1e6 if calendar.clock.kind == "timestamp" else float("inf")
    return int(min(hours * 3600, longest))
