"""Runs ``ratchet`` in this process, over the tiny stream, without Prefect's API or MLflow."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ratchet.cli.main import main
from ratchet.settings import settings


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str


class Terminal:
    """A project directory and a way to run commands in it."""

    def __init__(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home = home
        self._patch, self._capture = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Said:
        """Run ``ratchet ARGUMENTS`` through its entry point."""
        self._patch.setattr(sys, "argv", ["ratchet", *map(str, arguments)])
        self._capture.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = self._capture.readouterr()
        return Said(code, said.out, said.err)


def terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """Commands in ``home``; their runs are the flows' plain functions."""
    import flows.backfill
    import flows.retrain
    from ratchet.adapters.local_registry import LocalRegistry
    from ratchet.cli import run
    from tasks.workspace import Workspace
    from tests.streams import BlankReporter

    def registry(self: Workspace) -> Any:
        return LocalRegistry(self.settings.state / (self.replay or "registry"))

    monkeypatch.setenv("RATCHET_HOME", str(home))
    monkeypatch.setenv("RATCHET_ROOT", str(home / "tables"))
    monkeypatch.setenv("RATCHET_STATE", str(home / "state"))
    for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_ROOT_LEVEL", "PREFECT_HOME"):
        monkeypatch.setenv(name, "ERROR" if "LEVEL" in name else str(home / "prefect"))
    monkeypatch.setattr(Workspace, "registry", property(registry))
    monkeypatch.setattr(Workspace, "reporter", property(lambda self: BlankReporter()))
    monkeypatch.setattr(run, "warm_up", lambda reports: None)
    for module, name in ((flows.backfill, "backfill"), (flows.retrain, "retrain")):
        flow = getattr(module, name)
        monkeypatch.setattr(module, name, getattr(flow, "fn", flow))
    settings.cache_clear()
    return Terminal(home, monkeypatch, capsys)
