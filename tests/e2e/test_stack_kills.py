"""kill -9 of a run or the worker in the middle of a cycle: decided once, nothing lost, the champion
kept.

The times are printed by ``make bench-recovery``; here only outcomes count.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.recovery import assert_nothing_lost_or_doubled, kill_in_cycle
from tests.stack import Stack

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("killed", ["flow run", "worker", "worker and flow run"])
def test_25_26_31_killed_in_the_middle_of_a_cycle(
    stack_of_its_own: Stack, killed: str, record_property: Callable[[str, object], None]
) -> None:
    found = kill_in_cycle(stack_of_its_own, killed)
    assert found.loads > 0
    assert_nothing_lost_or_doubled(stack_of_its_own)
    record_property("recovery", str(found))
