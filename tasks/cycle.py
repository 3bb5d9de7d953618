"""One cycle's working memory, and how its stages are run.

A :class:`Cycle` is filled by the stages in order. It travels by reference, never through Prefect's
result store, because its tables are large and results are kept until the flow ends.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict, worst
from ratchet.logs import about

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.bundle import Bundle
    from ratchet.contracts.clock import Window
    from ratchet.contracts.lineage import Decision
    from ratchet.contracts.seams import ModelVersion, Report
    from ratchet.gate import Answer
    from ratchet.self_train import Cut
    from tasks.workspace import Workspace

logger = logging.getLogger("ratchet.cycle")


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


@dataclass(eq=False)
class Cycle:
    """What the stages of one window know so far. ``window.end`` is the as-of time."""

    workspace: Workspace
    window: Window
    again: str = ""  # why a decided window is learned from once more; part of the key
    history: list[Decision] = field(default_factory=list)  # done cycles, oldest first
    champion: ModelVersion | None = None
    champion_bundle: Bundle | None = None
    # validate
    batch: pa.Table | None = None  # the rows of this window that may be learned from
    rows_in: int = 0
    accepted: int = 0
    quarantined: int = 0
    labels_in: int = 0
    labels_quarantined: int = 0
    sources: dict[str, dict[str, int]] = field(default_factory=dict)  # to rows and labels in
    data_evidence: list[Evidence] = field(default_factory=list)
    # self_train
    cut: Cut | None = None
    holdout: pa.Table | None = None
    holdout_labels: Any = None
    mature_rows: int = 0
    candidates: dict[str, Bundle] = field(default_factory=dict)
    chosen: str | None = None
    chosen_because: str = ""
    scores: dict[str, Any] = field(default_factory=dict)  # recipe to scores on the holdout
    recipe_losses: dict[str, float] = field(default_factory=dict)
    levelled_losses: dict[str, float] = field(default_factory=dict)
    sharpness_losses: dict[str, float] = field(default_factory=dict)
    member_sharpness: dict[str, dict[str, float]] = field(default_factory=dict)
    share_losses: dict[str, float] = field(default_factory=dict)
    level: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, Any] = field(default_factory=dict)  # recipe to the best constant
    overlap: int = 0
    no_candidate: str = ""
    # drift
    drift: dict[str, Any] = field(default_factory=dict)
    report: Report | None = None
    # gate
    gate_evidence: list[Evidence] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)  # what the gate knows; handed on
    candidate_metrics: dict[str, float] = field(default_factory=dict)
    champion_metrics: dict[str, float] = field(default_factory=dict)
    answer: Answer | None = None  # of the person who was asked
    # register
    decision: Decision | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    bill: dict[str, float] = field(default_factory=dict)  # CPU seconds: training, search, avoided
    _started: float = field(default_factory=cpu_seconds)

    def concluded(self) -> Decision:
        """The decision that register made.

        Raises:
            RuntimeError: register has not run.
        """
        if self.decision is None:
            raise RuntimeError(f"{self.label}: the cycle has not reached register")
        return self.decision

    def judged_rows(self) -> pa.Table:
        """The held-out rows.

        Raises:
            RuntimeError: no candidate was trained.
        """
        if self.holdout is None:
            raise RuntimeError(f"{self.label}: no rows were held out, because nothing was trained")
        return self.holdout

    def judged_cut(self) -> Cut:
        """Where training ended and the holdout began.

        Raises:
            RuntimeError: no candidate was trained.
        """
        if self.cut is None:
            raise RuntimeError(f"{self.label}: no rows were held out, because nothing was trained")
        return self.cut

    def spent(self) -> dict[str, float]:
        """CPU seconds so far, children included; of these for training, and what members that were
        not trained again had cost."""
        return {"cpu": round(cpu_seconds() - self._started, 4), **self.bill}

    @property
    def witness(self) -> Bundle | None:
        """The champion, where what it gets wrong may be held against the data: not where a feature
        that it learned from does not come any more."""
        champion = self.champion_bundle
        return champion if champion and not champion.without else None

    @property
    def evidence(self) -> list[Evidence]:
        """All so far, on the data and by the gate."""
        return [*self.data_evidence, *self.gate_evidence]

    @property
    def key(self) -> str:
        """The idempotence key of this cycle."""
        key = self.workspace.key(self.window)
        return f"{key}/{self.again}" if self.again else key

    @property
    def label(self) -> str:
        """The window's name."""
        return self.workspace.calendar.label(self.window)

    @property
    def data_verdict(self) -> Verdict:
        """The most severe verdict on this window's data."""
        return worst(e.verdict for e in self.data_evidence)

    @property
    def may_learn(self) -> bool:
        """Whether this window's data let the cycle train at all."""
        return self.data_verdict.lets_through


def run_stage(stage: Any, cycle: Cycle) -> None:
    """Run one stage: as a Prefect task inside a flow run, else as a plain call. Times it."""
    started, before = time.perf_counter(), len(cycle.evidence)
    call: Callable[..., Any] = stage if in_flow_run() else stage.fn
    with about(pipeline=cycle.workspace.name, window=cycle.label, stage=stage.name):
        call(cycle)
        cycle.seconds[stage.name] = round(time.perf_counter() - started, 4)
        _log_stage(cycle, stage.name, cycle.evidence[before:])


def _log_stage(cycle: Cycle, stage: str, evidence: list[Evidence]) -> None:
    """What its checks found, and how long it took."""
    for one in evidence:
        level = logging.INFO if one.verdict.lets_through else logging.WARNING
        facts: dict[str, Any] = {"check": one.check, "verdict": one.verdict.value}
        said = f"{one.check}: {one.verdict}: {one.arithmetic}"
        logger.log(level, "%s", said, extra={"facts": facts})
    seconds = cycle.seconds[stage]
    logger.info("%s took %.2f s", stage, seconds, extra={"facts": {"seconds": seconds}})


def in_flow_run() -> bool:
    """Whether a Prefect flow run is active here."""
    prefect = sys.modules.get("prefect.context")
    return prefect is not None and prefect.FlowRunContext.get() is not None


def peak_mib() -> float:
    """The most memory this process has held so far, in MiB."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kib / 1024 if sys.platform != "darwin" else kib / 1024**2, 1)
