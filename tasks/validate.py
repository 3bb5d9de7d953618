"""validate: which rows may be learned from?

Rows that fail a rule go to quarantine with the rule's evidence, and the rest goes on. A batch that
fails as a whole goes to quarantine whole. Labels are judged apart, because they arrive apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import ingest as core
from ratchet import validate as rules
from ratchet.contracts.columns import (
    ACCEPTED,
    EVENT,
    KEY,
    LABEL,
    LABELS,
    LANDED,
    LANDED_LABELS,
    QUARANTINE,
    WINDOW,
)
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.seams import Append
from tasks import show
from tasks.cycle import Cycle

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@task(name="validate", cache_policy=NO_CACHE, persist_result=False)
def validate(cycle: Cycle) -> None:
    """Judge this window's rows, then its labels; write ``accepted``, ``labels``, ``quarantine``."""
    _validate_rows(cycle)
    _validate_labels(cycle)
    rows = [
        {"check": e.check, "verdict": e.verdict.value, "arithmetic": e.arithmetic}
        for e in cycle.data_evidence
    ]
    show.table(cycle, "checks", rows, f"Data checks of {cycle.label}: {cycle.data_verdict}")
