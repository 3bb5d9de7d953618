"""Whole cycles of a pipeline that declares what a candidate has to be to serve."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from flows.retrain import run_windows
from ratchet.contracts.columns import SEAL, WINDOW, seal_schema
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision
from ratchet.contracts.seams import Append
from tasks import windows
from tests.streams import MIXED, PIPELINE, land_window, project, quick, window_rows, workspace

SEALED = "\n[sealed]\nshare = 0.5\nmin_rows = 50\nmargin = 0.05\n"
STRICT = "\n[fitness]\nrows = 200\nmax_membership = 0.02\nmax_jitter_change = 1\n"
OVERFIT = PIPELINE.replace(
    "rounds = 12\nmax_depth = 3",
    "rounds = 20\nmax_depth = 12\nmin_child_weight = 0\nreg_lambda = 0",
)
SECRET = bytes(range(32))
CHECKS = ["gate.size", "gate.latency", "gate.missing", "gate.jitter"]


def run(home: Path, pipeline: str, replay: str | None = None) -> list[Decision]:
    """Four windows of a stream whose labels follow ``x`` closely; the secret is known beforehand,
    so that the same rows are sealed each time."""
    if replay is None:
        space = project(home, 0, pipeline)
        line = pa.Table.from_pylist([{WINDOW: 0, "secret": SECRET.hex()}], seal_schema())
        space.landing_tables.append(Append(SEAL, line, "seal"))
        for index in range(4):
            land_window(home, index, window_rows(index, rows=1500, slope=6.0))
    space = quick(workspace(home, replay))
    return list(run_windows(space, windows.undecided(space, None, None)))


def fit(decision: Decision) -> dict[str, Verdict]:
    """Its checks of fitness."""
    names = (*CHECKS, "gate.membership")
    return {e.check: e.verdict for e in decision.evidence if e.check in names}


def test_a_fit_candidate_is_promoted_and_a_replay_agrees(tmp_path: Path) -> None:
    made = run(tmp_path, MIXED + SEALED + STRICT)
    (promoted, *_) = (d for d in made if d.outcome == "promoted")
    assert list(fit(promoted)) == [*CHECKS, "gate.membership"]
    assert set(fit(promoted).values()) == {Verdict.PASS}
    again = run(tmp_path, "", replay="again")
    assert [(d.outcome, d.ledger, d.evidence) for d in again] == [
        (d.outcome, d.ledger, d.evidence) for d in made
    ]


def test_a_model_that_knows_its_training_rows_by_heart_never_serves(tmp_path: Path) -> None:
    made = run(tmp_path, OVERFIT + SEALED + STRICT)
    assert all(d.champion_after is None for d in made)
    (last,) = (e for e in made[-1].evidence if e.check == "gate.membership")
    assert last.verdict is Verdict.BLOCK
    assert last.measured is not None
    assert last.measured > 0.02
    assert "guesses by the loss which rows were trained on" in last.arithmetic
    assert made[-1].outcome == "blocked"
    # The sealed rows behind the cut are spent, at no level; those of the holdout were not read.
    account = made[-1].ledger["sealed"]
    assert account["read_before"] == made[-1].lineage.train_before
    assert (account["readings"], account["failed"]) == (0, 0)


def test_a_bundle_that_is_too_large_is_blocked_with_its_arithmetic(tmp_path: Path) -> None:
    made = run(tmp_path, PIPELINE + "\n[fitness]\nmax_bundle_mib = 0.01\n")
    assert made[-1].outcome == "blocked"
    assert list(fit(made[-1])) == CHECKS  # nothing is sealed, so there is no membership
    assert made[-1].reasons[0].startswith("bundle of ")
    assert "MiB > 0.01 MiB; the largest file is " in made[-1].reasons[0]


def test_without_the_table_nothing_is_asked(tmp_path: Path) -> None:
    made = run(tmp_path, PIPELINE)
    assert made[-1].outcome == "promoted"
    assert all(fit(d) == {} for d in made)
