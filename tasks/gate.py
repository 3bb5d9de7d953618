"""gate: is the candidate better, honestly, everywhere that counts?"""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import gate as core
from ratchet.contracts.bundle import predict
from ratchet.contracts.columns import EVENT
from ratchet.contracts.metrics import summary
from tasks import show
from tasks.cycle import Cycle


@task(name="gate", cache_policy=NO_CACHE, persist_result=False)
def gate(cycle: Cycle) -> None:
    """Score candidate and champion on the same held-out rows, and judge."""
    if cycle.chosen is None or cycle.holdout is None or cycle.cut is None:
        return  # no candidate: register says why
    definition, champion = cycle.workspace.definition, cycle.champion_bundle
    labels, objective = cycle.holdout_labels, definition.label.objective
    candidate = cycle.scores[cycle.chosen]
    against = predict(champion, cycle.holdout) if champion else None
    cycle.candidate_metrics = summary(objective, labels, candidate)
    cycle.champion_metrics = {} if against is None else summary(objective, labels, against)
    request = core.GateInput(
        y=labels,
        events=cycle.holdout[EVENT].to_numpy(),
        candidate=candidate,
        champion=against,
        baseline=cycle.baselines[cycle.chosen],
        mature_rows=cycle.mature_rows,
        overlap=cycle.overlap,
        holdout_from=cycle.cut.holdout_from,
        champion_trained_before=champion.manifest.lineage.train_before if champion else None,
        slices={name: cycle.holdout[name] for name in definition.gate.slices},
    )
    cycle.gate_evidence = core.judge(request, definition)
    for evidence in cycle.gate_evidence:
        show.log(f"{evidence.check}: {evidence.verdict}: {evidence.arithmetic}")
