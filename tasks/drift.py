"""drift: has the world moved, and does it matter?

The batch against the champion's training reference, both sampled, so that the cost does not grow
with history. Evidently draws the report; the verdict is our own, and it warns but never blocks.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import drift as core
from ratchet.contracts.score import predict
from tasks import show
from tasks.cycle import Cycle
from tasks.expected import expected

if TYPE_CHECKING:
    import pyarrow as pa


@task(name="drift", cache_policy=NO_CACHE, persist_result=False)
def drift(cycle: Cycle) -> None:
    """Measure, draw, and show the columns that moved."""
    definition, champion = cycle.workspace.definition, cycle.champion_bundle
    reference = reference_of(champion.reference) if champion else None
    batch = cycle.batch
    if batch is None:
        raise RuntimeError("drift comes after validate")
    scores = None
    if champion and reference is not None and definition.label.objective != "multiclass":
        scores = (predict(champion, reference), predict(champion, core.sample(batch, definition)))
    gains = champion.manifest.gains if champion else {}
    found = core.measure(reference, batch, gains, definition, scores)
    cycle.drift = found.as_json()
    show.log(f"{found.verdict}: {found.evidence.arithmetic}")
    if definition.watch.label_free and cycle.champion is not None:
        _without_labels(cycle, cycle.champion.version)
    if reference is None or not batch.num_rows:
        return
    if cycle.workspace.replay is None:
        current = core.sample(batch, definition).to_pandas()
        old = core.sample(reference, definition).to_pandas()
        kinds = {name: definition.features[name] for name in found.columns}  # important first
        try:
            cycle.report = cycle.workspace.reporter.draw(
                old, current, kinds, f"{found.verdict}: {found.evidence.arithmetic}"
            )
        except Exception as error:
            cycle.drift["report_error"] = repr(error)[:500]
            show.log(f"the drift report could not be drawn: {error!r}")


def _without_labels(cycle: Cycle, version: int) -> None:
    """What is expected of the rows without labels: kept with the drift, and evidence that at most
    warns; that nothing could be estimated must not stop a cycle."""
    found = expected(cycle.workspace, cycle.history, version, cycle.window.index)
    cycle.drift["expected"] = found.as_json()
    if found.verdict.lets_through:
        cycle.data_evidence.append(found)


def reference_of(parquet: bytes) -> pa.Table:
    """A champion's reference sample, whose digest was checked when its bundle was loaded."""
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(parquet))
