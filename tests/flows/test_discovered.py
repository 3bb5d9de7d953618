"""The search for weak slices through whole cycles: what it asked is handed on; a replay agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flows.retrain import run_windows
from ratchet.contracts.evidence import Verdict
from ratchet.register import describe
from tasks import windows
from tasks.gate import gate
from tasks.recover import begin
from tasks.self_train import self_train
from tests.streams import PIPELINE, land_window, project, quick, window_rows, workspace

SEARCHED = PIPELINE.replace("[gate]", "[gate]\ndiscover = true").replace("= 16", "= 40")
SEARCHED = SEARCHED.replace("= 0.25", "= 0.9")


def run(home: Path, replay: str | None = None):
    space = quick(workspace(home, replay))
    return list(run_windows(space, windows.undecided(space, None, None)))


def test_what_was_found_is_handed_on_watched_and_replayed(tmp_path: Path) -> None:
    project(tmp_path, 0, SEARCHED)
    for index in range(4):
        land_window(tmp_path, index, window_rows(index, rows=1200))
    live, again = run(tmp_path), run(tmp_path, "one")
    assert [d.ledger for d in again] == [d.ledger for d in live]
    first = live[-1]
    (found,) = (e for e in first.evidence if e.check == "gate.discovered")
    assert (first.outcome, found.verdict) == ("promoted", Verdict.PASS)
    assert first.ledger["searches"] == found.details["searches"]
    assert "gate.discovered" in describe(first)

    space = quick(workspace(tmp_path))

    def judged(ledger, weak: float):
        """The last window once more, as if the champion had to be replaced at once."""
        cycle = begin(space, space.calendar.window(2), again="once more")
        cycle.champion, cycle.champion_bundle, cycle.ledger = None, None, dict(ledger)
        self_train.fn(cycle)
        mine = cycle.judged_rows()["z"].to_numpy() < weak
        wrong = 0.75 - 0.5 * cycle.holdout_labels
        cycle.scores[cycle.chosen] = np.where(mine, wrong, cycle.scores[cycle.chosen])
        gate.fn(cycle)
        return {e.check: e for e in cycle.gate_evidence}, cycle.ledger["searches"]

    hurt, searches = judged(first.ledger, weak=-1.1)
    assert hurt["gate.discovered"].verdict is Verdict.WARN
    assert hurt["gate.discovered"].details["slice"].startswith("z < ")
    assert (searches["found"], len(searches["watched"])) == (1, 1)
    clean, after = judged({"searches": searches}, weak=-9)
    assert clean["gate.watched"].verdict is Verdict.PASS
    assert after["watched"] == searches["watched"]
