"""kill -9 of servers in the middle of a cycle: decided once, nothing lost, the champion kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.recovery import assert_nothing_lost_or_doubled, kill_in_cycle
from tests.stack import Stack

pytestmark = pytest.mark.slow


# ``make bench-recovery`` kills each alone.
@pytest.mark.parametrize("killed", ["prefect and mlflow", "s3 and postgres"])
def test_27_servers_killed_in_the_middle_of_a_cycle(
    stack_of_its_own: Stack, killed: str, record_property: Callable[[str, object], None]
) -> None:
    found = kill_in_cycle(stack_of_its_own, killed)
    assert found.loads > 0
    assert_nothing_lost_or_doubled(stack_of_its_own)
    record_property("recovery", str(found))
