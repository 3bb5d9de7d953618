"""What every test of the flows shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import crash


@pytest.fixture(autouse=True, scope="package")
def predictions_here() -> Iterator[None]:
    """A second of imports less for each model: the child process has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        crash.predict_here(patch.setattr)
        yield
