"""kill -9 of each member while a cycle is half done: decided once, nothing lost, the champion kept.

The times are printed by ``make bench-recovery``; here only outcomes count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.recovery import assert_nothing_lost_or_doubled, begin, kill_in_cycle
from tests.stack import Stack

pytestmark = pytest.mark.slow

# ``make bench-recovery`` also kills each server alone.
KILLS = ("flow run", "worker", "worker and flow run", "prefect and mlflow", "s3 and postgres")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("kills")
    made = Stack(home)
    try:
        begin(made)
        yield made
    finally:
        made.call("down")


@pytest.mark.parametrize("killed", KILLS)
def test_25_26_27_31_killed_in_the_middle_of_a_cycle(
    stack: Stack, killed: str, record_property: Callable[[str, object], None]
) -> None:
    found = kill_in_cycle(stack, killed)
    assert found.loads > 0
    assert_nothing_lost_or_doubled(stack)
    record_property("recovery", str(found))
