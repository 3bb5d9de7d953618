"""The stack that the operator's tests and the stack's own share, for it takes a minute to make, and
stacks to be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.recovery import begin
from tests.stack import PATIENCE, Stack, wait


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Five windows have landed and the schedule has decided four of them."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    try:
        made.begin(5)
        wait(lambda: len(made.decided()) >= 4, 2 * PATIENCE)
        yield made
    finally:
        made.call("down")


@pytest.fixture(scope="module")
def stack_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """For what breaks members: windows are decided and a champion serves."""
    made = Stack(tmp_path_factory.mktemp("kills"))
    try:
        begin(made)
        yield made
    finally:
        made.call("down")
