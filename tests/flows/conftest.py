"""What every test of the flows shares."""

from __future__ import annotations

import pytest

from tests import crash


@pytest.fixture(autouse=True)
def predictions_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of imports less for each model: the child process has tests of its own."""
    crash.predict_here(monkeypatch.setattr)
