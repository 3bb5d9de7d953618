"""What a run says of itself, over whole cycles without a Prefect server."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet import logs
from ratchet.contracts.columns import DECISIONS
from ratchet.contracts.lineage import Decision
from ratchet.settings import settings
from tasks import observe
from tests.cli import Terminal, terminal
from tests.streams import land_window, project, window_rows, workspace


@pytest.fixture
def ratchet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    root = logging.getLogger(logs.ROOT)
    before = root.handlers[:], root.level, root.propagate
    monkeypatch.setenv("RATCHET_LOG_FORMAT", "json")
    yield terminal(tmp_path, monkeypatch, capsys)
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])
    settings.cache_clear()


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_every_line_of_a_cycle_names_pipeline_window_and_run(ratchet: Terminal) -> None:
    project(ratchet.home, 4)
    land_window(ratchet.home, 4, window_rows(4).slice(0, 0))
    land_window(ratchet.home, 5)
    land_window(ratchet.home, 6)
    done = ratchet("backfill", "tiny")
    assert done.code == 0
    found = [line for line in lines(done.err) if line["window"]]
    assert {line["pipeline"] for line in found} == {"tiny"}
    assert len({line["run_id"] for line in found}) == 1 and found[0]["run_id"]
    for window in ("0", "1000", "2000", "3000", "4000", "5000"):
        said = [line for line in found if line["window"] == window]
        assert said[0]["message"] == "cycle begins"
        assert said[-1]["message"].startswith("cycle ends after")
        stages = [s["stage"] for s in said if "took" in s["message"]]
        assert stages[:2] == ["ingest", "validate"] and stages[-1] == "register"
        assert all(s["seconds"] >= 0 for s in said if "took" in s["message"])
    third = [line for line in found if line["window"] == "2000"]
    (decision,) = [line for line in third if "outcome" in line]
    assert decision["outcome"] == "promoted"
    assert decision["message"].endswith("champion None -> 1")
    assert {"gate.floor", "gate.calibration"} <= {line.get("check") for line in third}
    failed = [line for line in found if line.get("verdict") not in (None, "PASS", "WARN")]
    assert failed and all(line["level"] == "WARNING" for line in failed)


def test_a_failure_is_one_line_with_its_traceback(ratchet: Terminal) -> None:
    project(ratchet.home, 3)
    assert ratchet("backfill", "tiny").code == 0
    land_window(ratchet.home, 3)
    log = ratchet.home / "tables" / "tiny" / DECISIONS / "_delta_log"
    sorted(log.glob("*.json"))[0].unlink()
    done = ratchet("retrain", "tiny")
    assert done.code == 2
    (line,) = [x for x in lines(done.err) if x["level"] == "ERROR"]
    assert line["message"].startswith("failed: Damaged: ")
    assert (line["pipeline"], line["logger"]) == ("tiny", "ratchet.cycle")
    assert "Traceback" in line["exception"]


def test_another_run_is_no_failure(ratchet: Terminal) -> None:
    project(ratchet.home, 3)
    where = {"root": str(ratchet.home / "tables"), "state": ratchet.home / "state"}
    space = workspace(ratchet.home, **where)
    with space.lease.hold("somebody"):
        done = ratchet("retrain", "tiny")
    assert done.code == 3
    (line,) = [x for x in lines(done.err) if x["level"] != "INFO"]
    assert line["level"] == "WARNING" and "exception" not in line


def test_text_is_silent_unless_somebody_asks(
    ratchet: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(ratchet.home, 3)
    monkeypatch.setenv("RATCHET_LOG_FORMAT", "text")
    settings.cache_clear()
    done = ratchet("backfill", "tiny")
    assert (done.code, done.err) == (0, "")


def test_a_rollback_and_a_recovery_are_warnings(
    ratchet: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"champion_before": 3, "champion_after": 2, "outcome": "promoted", "reasons": ("why",)}
    decision = Decision("tiny", "0", 0, 0, "tiny/rollback/now", "d", **made)  # type: ignore[arg-type]
    ratchet("status")  # sets logging up
    observe.decided(decision)
    observe.recovered("tiny", "champion is version 2 again")
    one, two = lines(capsys.readouterr().err)
    assert (one["level"], one["outcome"]) == ("WARNING", "rolled back")
    assert one["message"] == "rolled back: why; champion 3 -> 2"
    assert (two["level"], two["stage"]) == ("WARNING", "recover")


def test_what_was_observed_keeps_its_form() -> None:
    from inspect import signature

    from flows.retrain import retrain

    body = getattr(retrain, "fn", retrain)
    assert list(signature(body).parameters) == ["pipeline", "window"]
    assert body.__name__ == "retrain" and body.__doc__
