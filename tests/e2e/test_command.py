"""The real command in a process of its own, with Prefect's API, MLflow on SQLite and Evidently."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.streams import project

pytestmark = pytest.mark.slow

STAGES = {"ingest", "validate", "self_train", "drift", "gate", "register"}


def ratchet(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, with nothing in its environment but what it needs."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    where = {"HOME": home, "ROOT": home / "tables", "STATE": home / "state"}
    return subprocess.run(
        [str(Path(sys.executable).parent / "ratchet"), *arguments],
        env={**kept, **{f"RATCHET_{name}": str(path) for name, path in where.items()}},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def test_backfill_over_the_real_services(tmp_path: Path) -> None:
    home = tmp_path / "home"
    project(home, 5)
    said = ratchet(home, "backfill", "tiny", "--json")
    assert said.returncode == 0, said.stderr
    assert said.stderr == "", "no stray log line"
    made = [json.loads(text) for text in said.stdout.splitlines()]
    assert [d["window"] for d in made] == ["0", "1000", "2000", "3000"]
    for decision in made:
        assert {"rows_in", "accepted", "quarantined", "drift", "reasons"} <= set(decision)
        assert decision["outcome"] in ("held", "promoted")
        assert decision["reasons"]
        assert set(decision["seconds"]) == STAGES
        assert decision["peak_mib"] > 50
        assert decision["run_id"] in decision["links"]["mlflow"]
    last = made[-1]
    assert last["drift"]["verdict"] in ("PASS", "WARN")
    assert {"auc", "loss"} <= set(last["candidate"]) & set(last["champion"])
    assert last["champion_after"] >= 1

    started = time.monotonic()
    again = ratchet(home, "backfill", "tiny", "--json")
    assert (again.returncode, again.stdout) == (0, "")
    assert "0 windows to run" in again.stderr
    assert time.monotonic() - started < 60, "what is done is not done again"

    prefect = home / "state" / "prefect" / "prefect.db"
    assert query(prefect, "select state_type from flow_run") == [("COMPLETED",)]
    runs = query(prefect, "select count(*), min(state_type), max(state_type) from task_run")
    assert runs == [(4 * len(STAGES), "COMPLETED", "COMPLETED")]
    artifacts = query(prefect, "select key, type from artifact")
    for window in ("0", "1000", "2000", "3000"):
        assert (f"tiny-{window}-decision", "markdown") in artifacts
        assert (f"tiny-{window}-checks", "table") in artifacts
    lines = [text for (text,) in query(prefect, "select message from log")]
    for window in ("0", "1000", "2000", "3000"):
        assert f"{window}: cycle begins" in lines
        assert any(text.startswith(f"{window} register: register took") for text in lines)

    mlflow = home / "state" / "mlflow.db"
    names = query(mlflow, "select name from runs where status = 'FINISHED' order by start_time")
    windows = [f"tiny {window}" for window in (0, 1000, 2000, 3000)]
    assert sorted(n for (n,) in names) == sorted([*windows, "tiny over windows"])
    aliases = query(mlflow, "select alias, version from registered_model_aliases")
    assert aliases == [("champion", last["champion_after"])]

    page = ratchet(home, "report", "3000")
    assert page.returncode == 0, page.stderr
    html = (home / "state" / "reports" / "tiny-3000.html").read_text()
    assert len(html) > 10_000

    proof = ratchet(home, "verify", str(last["champion_after"]))
    assert (proof.returncode, proof.stdout.count("PASS")) == (0, 4), proof.stdout + proof.stderr

    wrong = ratchet(home, "explain", "yesterday")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("NotFound: 'yesterday'")
