"""Cycles of a pipeline that says what a loss and a CPU hour cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.retrain import run_windows
from ratchet.cli.main import ratchet
from ratchet.contracts.definition import parse
from ratchet.contracts.economics import CHECK
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision
from ratchet.register import run_metrics
from tasks import windows
from tasks.policies import losses
from tasks.verify import verify
from tasks.workspace import Workspace
from tests.streams import (
    MIXED,
    PIPELINE,
    land_window,
    project,
    quick,
    window_rows,
    workspace,
)

DEAR = "\n[economics]\nloss_worth = 1e-9\ncpu_hour = 1000\nmax_wait = 3\n"
CHEAP = "\n[economics]\nloss_worth = 1000\ncpu_hour = 1e-9\n"


def run(home: Path, replay: str | None = None) -> tuple[Workspace, list[Decision]]:
    space = quick(workspace(home, replay))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def asked(decision: Decision) -> dict[str, dict]:
    """Unit to what was chosen about it; empty where nobody asked."""
    found = [e for e in decision.evidence if e.check == CHECK]
    return dict(found[0].details["units"]) if found else {}


def test_where_training_is_dear_it_is_put_off_and_the_champion_stays(tmp_path: Path) -> None:
    project(tmp_path, 14, PIPELINE + DEAR)
    space, made = run(tmp_path)
    units = [asked(d).get("recipes") for d in made]
    assert units[:2] == [None, None]  # no label yet, then none to train on
    chosen = [u["train"] for u in units if u]
    first = chosen.index(False)
    assert first >= 4  # no champion, then three comparisons
    # At most three windows are put off, then one is trained.
    assert chosen[first:] == [i % 4 == 3 for i in range(len(chosen) - first)]
    late = next(d for d in made if asked(d) and not asked(d)["recipes"]["train"])
    assert late.outcome == "held"
    assert late.reasons[0].startswith("not worth training: a model of ")
    assert "< cost" in late.reasons[0]
    assert late.champion_before == late.champion_after
    assert late.lineage is None
    assert late.accepted == 400
    assert late.drift["verdict"] in ("PASS", "WARN")
    assert late.champion["loss"] > 0  # it is still measured
    assert late.bill["avoided"] > 0
    assert "training" not in late.bill
    assert run_metrics(late)["economics/cost"] > run_metrics(late)["economics/saving"]
    assert late.window_index - 1 in losses(space, made)  # a policy's score counts such windows


def test_a_replay_comes_to_the_same_decisions(tmp_path: Path) -> None:
    """No clock decides: only what the tables hold."""
    project(tmp_path, 10, PIPELINE + DEAR)
    _, made = run(tmp_path)
    _, again = run(tmp_path, "again")
    assert [d.digest for d in again] == [d.digest for d in made]
    assert any(not u["train"] for d in made for u in asked(d).values())


def test_where_training_costs_nothing_each_window_is_trained(tmp_path: Path) -> None:
    free = tmp_path / "free"
    project(free, 9, PIPELINE + CHEAP)
    project(tmp_path, 9)
    _, made = run(free)
    _, before = run(tmp_path)
    assert [d.outcome for d in made] == [d.outcome for d in before]
    assert [d.candidate for d in made] == [d.candidate for d in before]
    said = [u["because"] for d in made for u in asked(d).values()]
    assert said[0] == "no champion yet"
    assert any("to learn that" in because for because in said)
    assert any(">= cost" in because for because in said)


def test_a_fall_of_the_champion_is_a_reason_to_train(tmp_path: Path) -> None:
    project(tmp_path, 11, PIPELINE + DEAR.replace("max_wait = 3", "max_wait = 99"))
    for index in range(11, 14):
        land_window(tmp_path, index, window_rows(index, slope=0.4))
    _, made = run(tmp_path)
    assert not any(asked(d)["recipes"]["train"] for d in made[9:12])
    fallen = asked(made[12])["recipes"]  # the first with labels of the new world
    assert fallen["train"]
    assert "the champion's loss of" in fallen["because"]


def test_a_member_that_is_due_is_put_off_and_the_older_one_stays_in(tmp_path: Path) -> None:
    pipeline = MIXED.replace("every = 4", "every = 2") + DEAR
    project(tmp_path, 14, pipeline)
    space, made = run(tmp_path)
    late = [d for d in made if asked(d) and not all(u["train"] for u in asked(d).values())]
    assert late
    for decision in late:
        lineage = decision.lineage
        assert lineage is not None  # the mixture is weighed and judged all the same
        for member in lineage.members:
            chosen = asked(decision).get(member.name)
            if chosen and not chosen["train"]:
                assert member.as_of < lineage.as_of
    _, again = run(tmp_path, "again")
    assert [d.digest for d in again] == [d.digest for d in made]
    champion = made[-1].champion_after
    assert champion is not None
    assert {e.verdict for e in verify(space, champion)} == {Verdict.PASS}


def test_status_sums_savings_spending_and_what_was_avoided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = project(tmp_path, 10, PIPELINE + DEAR)
    run(tmp_path)
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda _: space)
    shown = CliRunner().invoke(ratchet, ["status", "-p", "tiny"])
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.output.split())
    assert "economics" in text
    assert "put off" in text
    assert "expected to save" in text


def test_prices_change_the_digest_and_only_where_they_are_declared() -> None:
    plain, priced = parse(PIPELINE), parse(PIPELINE + DEAR)
    assert plain.economics is None
    assert plain.digest != priced.digest
    assert priced.model_copy(update={"economics": None}).digest == plain.digest
