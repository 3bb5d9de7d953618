"""gate: is the candidate better, honestly, everywhere that counts?"""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import gate as core
from ratchet.contracts import metrics
from ratchet.contracts.bundle import predict
from ratchet.contracts.columns import EVENT
from tasks import show
from tasks.cycle import Cycle


@task(name="gate", cache_policy=NO_CACHE, persist_result=False)
def gate(cycle: Cycle) -> None:
    """Score candidate and champion on the same held-out rows, and judge."""
