"""One cycle: one window of one pipeline, through the whole loop.

>>> retrain("flights", "2013-03-05")                                  # doctest: +SKIP

Run again after success it does nothing and says so; after a crash it resumes from what was
committed; of two at once one wins and the other reports that it lost.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prefect import State, flow
from prefect.states import Completed

from flows.forms import Pipeline, Time
from ratchet.contracts.clock import Window
from ratchet.contracts.lineage import Decision
from ratchet.contracts.revocation import Reach
from ratchet.errors import Refused
from ratchet.gate import Answer
from ratchet.register import ending
from tasks import decisions, observe, show, windows
from tasks.approve import answered_cycle, ask, have_the_last_word, open_question
from tasks.blast import Blast
from tasks.cycle import Cycle, run_stage
from tasks.drift import drift
from tasks.gate import gate
from tasks.ingest import ingest
from tasks.progress import announce, listening
from tasks.recover import already_decided, begin, recover
from tasks.register import register
from tasks.revoke import answer_alarms, note_revocation, revocation_key, revoke
from tasks.self_train import self_train, stood_in
from tasks.validate import validate
from tasks.workspace import PATIENCE, Workspace, open_workspace, run_patience, when_free


@dataclass(frozen=True)
class Taken:
    """What was revoked, and the decision about the model that was trained without it."""

    blast: Blast
    relearned: Decision | None


def one_cycle(workspace: Workspace, window: Window) -> Decision:
    """The loop, for one window. Works inside a Prefect flow run and without one.

    Raises:
        LeaseHeld: another run works on this pipeline.
        Refused: a later window was already decided; use a replay to look at the past.
    """
    who = f"{socket.gethostname()}:{os.getpid()}"
    with when_free(workspace.lease, who, workspace.patience):
        recover(workspace)
        for blast in answer_alarms(workspace):
            relearn(workspace, blast)
        if decided := already_decided(workspace, window):
            announce(decided)
            learn_anyway(workspace, decided)
            return decided
        cycle = begin(workspace, window)
        run_stage(ingest, cycle)
        run_stage(validate, cycle)
        if cycle.may_learn:
            for stage in learning_stages(workspace):
                run_stage(stage, cycle)
            have_the_last_word(cycle)
        run_stage(register, cycle)
        announce(cycle.concluded())
        learn_anyway(workspace, cycle.concluded())
        for blast in answer_alarms(workspace):
            relearn(workspace, blast)
        return cycle.concluded()


def learning_stages(workspace: Workspace) -> tuple[Any, ...]:
    """In order. Where training must be worth it, drift is a reason to train, so it comes first."""
    if workspace.definition.economics is not None:
        return drift, self_train, gate
    return self_train, drift, gate


def learn_anyway(workspace: Workspace, decided: Decision) -> Decision | None:
    """After a batch was blocked, learn from the trusted rows that stand in for it, and gate that.

    Else whoever spoils a little of every batch stops all learning, and a champion that never learns
    gets old. None where no trusted row stands in.
    """
    if decided.outcome != "blocked" or decided.lineage is not None:
        return None  # what the gate blocked was trained
    window = workspace.calendar.window(decided.window_index)
    if not stood_in(workspace, window):
        return None
    cycle = begin(workspace, window, again="trusted")
    cycle.rows_in = decided.rows_in
    return once_more(cycle)


def take_back(workspace: Workspace, reach: Reach, *, by: str, reason: str) -> Taken:
    """Revoke a source, a batch or an object, and train without it at once.

    Raises:
        NotFound: nothing was accepted from such a source or object.
        Refused: nobody says who or why.
        LeaseHeld: a run works on this pipeline.
    """
    with workspace.lease.hold(f"source revoke by {by}"):
        recover(workspace)
        blast = revoke(workspace, reach, by=by, reason=reason)
        return Taken(blast, relearn(workspace, blast))


def relearn(workspace: Workspace, blast: Blast) -> Decision | None:
    """Train once more as of the newest decided window, without what was revoked, and gate it.

    None where no model learned from it. For a caller that holds the lease. Asked again for the same
    revocation it gives the decision that was made.
    """
    last = decisions.last_decided(workspace)
    if last is None or not blast.versions:
        return None
    window = workspace.calendar.window(last)
    cycle = begin(workspace, window, again=revocation_key(workspace))
    note_revocation(cycle, blast)
    return once_more(cycle)


def once_more(cycle: Cycle) -> Decision:
    """Train and gate what a decided window left; done before, it gives that decision."""
    if decided := decisions.of_key(cycle.workspace, cycle.key):
        return decided
    run_stage(self_train, cycle)
    run_stage(gate, cycle)
    have_the_last_word(cycle)
    run_stage(register, cycle)
    announce(cycle.concluded())
    return cycle.concluded()


def run_windows(workspace: Workspace, chosen: list[Window]) -> Iterator[Decision]:
    """The decisions of these windows, one cycle after the other."""
    progress = show.Progress(workspace.name, len(chosen))
    for window in chosen:
        with observe.cycle(workspace, window):
            decision = one_cycle(workspace, window)
        progress.step(decision.window, decision.outcome)
        yield decision


def run_all(workspace: Workspace, chosen: list[Window]) -> list[Decision]:
    """Every decision that these windows led to, oldest first: also those from trusted rows after a
    block, and after a revocation."""
    made: list[Decision] = []
    with listening(made.append):
        for _ in run_windows(workspace, chosen):
            pass
    return made


def settle(
    workspace: Workspace,
    what: str | None,
    *,
    approve: bool,
    by: str,
    reason: str,
    patience: float = 0.0,
) -> Decision:
    """A person's answer about the candidate that waits for them, put into force.

    Args:
        patience: seconds to wait for a run that works on this pipeline.

    Raises:
        NotFound: nothing waits for a person.
        Refused: nobody says who or why, or a later decision overtook the question.
        LeaseHeld: a run works on this pipeline.
    """
    if not by.strip() or not reason.strip():
        raise Refused("say who decides and why: neither 'by' nor 'reason' may be empty")
    with when_free(workspace.lease, f"approval by {by}", patience):
        recover(workspace)
        asked = open_question(workspace, what)
        digest = asked.lineage.model_digest if asked.lineage else ""
        answer = Answer(approve=approve, by=by, reason=reason, model_digest=digest)
        return once_more(answered_cycle(workspace, asked, answer))


def ended(workspace: Workspace, made: list[Decision]) -> State[dict[str, int]]:
    """Name, tag and sum up this flow run, and the state in which it ends."""
    shown = ending(made)
    apart = f" (replay {workspace.replay})" if workspace.replay else ""
    show.entitle(f"{workspace.name} {shown.title}{apart}", shown.tags)
    rows = [
        {
            "window": d.window,
            "outcome": d.outcome,
            "accepted": d.accepted,
            "quarantined": d.quarantined,
            "champion": d.champion_after,
            "why": d.reasons[0] if d.reasons else "",
        }
        for d in made
    ]
    show.summary_table(workspace.name, rows, shown.message)
    counts = dict(Counter(d.outcome for d in made))
    return Completed(name=shown.state, message=shown.message[:1000], data=counts)


def run_name() -> str:
    """Pipeline and window, as Prefect's run page shows them until it is known what was due."""
    from prefect.runtime import flow_run

    asked = flow_run.parameters
    return f"{asked['pipeline']} {asked.get('window') or 'what is due'}"


@flow(name="retrain", flow_run_name=run_name, persist_result=False)
@observe.observed
def retrain(pipeline: Pipeline, window: Time | None = None) -> State[dict[str, int]]:
    """Run what is due: each complete window that is not decided yet, in order, once each.

    So a scheduler that was down catches up in one run. Where the gate asks for a person, the run
    pauses after its last window until they answer on its page. Returns how many cycles ended in
    each outcome.

    Args:
        pipeline: The name of a file in pipelines/, without .toml.
        window: Any time of the one window to run instead: a date, a UTC time, or a number where the
            pipeline counts. Left out: all that is due.
    """
    workspace = open_workspace(pipeline, patience=run_patience())
    named = [windows.named(workspace, window)] if window else []
    due = named or windows.undecided(workspace, None, None)
    made = run_all(workspace, due or [windows.newest(workspace)])  # recovers, at least
    if not due:  # the newest window's own decision is old news
        made = [d for d in made if d.again]
    if said := ask(workspace, decisions.done(workspace, 1)[-1]):
        approve, by, reason = said
        made.append(
            settle(workspace, None, approve=approve, by=by, reason=reason, patience=PATIENCE)
        )
    return ended(workspace, made)
