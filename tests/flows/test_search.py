"""Cycles that try mutations of their recipe in the shadow."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.retrain import run_windows, settle
from ratchet.cli.main import ratchet
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision
from ratchet.contracts.search import CHECK
from ratchet.register import describe, run_metrics
from ratchet.self_train import State
from tasks import windows
from tasks.verify import verify
from tasks.workspace import Workspace
from tests.streams import _MEMBERS, _RECIPES, MIXED, PIPELINE, project, quick, workspace

# Trees that learn by heart.
DEEP = '[[recipes]]\nname = "all"\nrounds = 40\nmax_depth = 8\nlearning_rate = 0.3\n\n'
SEARCH = "\n[search]\nbudget = 2\n"
MEDIOCRE = PIPELINE.replace(_RECIPES, DEEP) + SEARCH


def run(home: Path, replay: str | None = None) -> tuple[Workspace, list[Decision]]:
    space = quick(workspace(home, replay))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def searched(decision: Decision) -> str:
    """What the decision says of its trials; empty where none was tried."""
    return next((e.arithmetic for e in decision.evidence if e.check == CHECK), "")


def test_a_mediocre_recipe_improves_and_the_lineage_names_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, 7, MEDIOCRE)
    space, made = run(tmp_path)
    assert [searched(d) for d in made[:2]] == ["", ""]  # no label, then nothing to train on
    adopted = next(d for d in made if "adopted from the next cycle on" in searched(d))
    (change, *_) = State.from_json(adopted.ledger["search"]).changes
    following = made[made.index(adopted) + 1]
    assert adopted.lineage is not None
    assert following.lineage is not None
    assert adopted.lineage.recipe["max_depth"] == 8
    assert following.lineage.recipe == change.recipe != adopted.lineage.recipe
    assert set(following.recipe_losses) == {"all"}  # a shadow is no recipe
    assert change.because in describe(adopted).replace("\\", "")
    assert following.bill["search"] > 0
    assert run_metrics(adopted)["search/adopted"] == 1
    promoted = [d for d in made[made.index(adopted) + 1 :] if d.outcome == "promoted"]
    assert promoted  # so that what is verified was made by a mutation
    found = verify(space, promoted[-1].champion_after or 0)
    assert {e.verdict for e in found} == {Verdict.PASS}
    assert found[-1].check == "verify.recipe"
    assert "1 changes before it" in found[-1].arithmetic
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda _: space)
    shown = CliRunner().invoke(ratchet, ["status", "-p", "tiny"])
    assert shown.exit_code == 0, shown.output
    assert "mutations tried, 1 adopted" in " ".join(shown.output.split())


def test_a_cycle_that_was_cut_off_and_a_replay_come_to_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, 5, MEDIOCRE)
    _, made = run(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tasks.register.conclude", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "again")
    replay = quick(workspace(tmp_path, "again"))
    due = windows.undecided(replay, None, None)
    again = list(run_windows(replay, due[:3]))
    with monkeypatch.context() as patched:
        patched.setattr("tasks.register.conclude", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "again")
    again += run(tmp_path, "again")[1]
    assert [d.digest for d in again] == [d.digest for d in made]
    assert State.from_json(made[-1].ledger["search"]).started > 1


def test_members_of_a_mixture_are_searched_too_and_rebuilt_from_the_lineage(tmp_path: Path) -> None:
    alone = DEEP.replace("[[recipes]]", "[[mixture.members]]").replace(
        "rounds", "every = 2\nrounds"
    )
    text = MIXED.replace(_MEMBERS, alone) + SEARCH + "windows = 2\nalpha = 0.4\n"
    project(tmp_path, 8, text)
    space, made = run(tmp_path)
    state = State.from_json(made[-1].ledger["search"])
    assert state.changes, [searched(d) for d in made]
    change = state.changes[0]
    at = next(i for i, d in enumerate(made) if d.window_index == change.window)
    before, after = made[at].lineage, made[at + 1].lineage
    assert before is not None
    assert after is not None
    assert [m.name for m in after.members] == ["all"]
    assert after.members[0].recipe == change.recipe != before.members[0].recipe
    assert change.recipe["every"] == 2
    champion = made[-1].champion_after
    assert champion is not None
    assert {e.verdict for e in verify(space, champion)} == {Verdict.PASS}
    _, again = run(tmp_path, "again")
    assert [d.digest for d in again] == [d.digest for d in made]


def test_where_training_is_put_off_nothing_is_tried(tmp_path: Path) -> None:
    dear = "\n[economics]\nloss_worth = 1e-9\ncpu_hour = 1000\nmax_wait = 3\n"
    project(tmp_path, 8, MEDIOCRE + dear)
    _, made = run(tmp_path)
    late = [d for d in made if d.reasons[0].startswith("not worth training")]
    assert late
    for decision in late:
        assert not searched(decision)
        assert "search" not in decision.bill
        earlier = made[made.index(decision) - 1]
        assert decision.ledger["search"] == earlier.ledger["search"]


def test_a_person_s_word_trains_the_same_model_and_tries_nothing_more(tmp_path: Path) -> None:
    text = MEDIOCRE.replace("[gate]", "[gate]\napproval = true").replace(
        "[search]\n", "[search]\nwindows = 2\nalpha = 0.49\n"
    )
    space = quick(project(tmp_path, 5, text))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    asked = made[-1]
    assert asked.awaits_approval
    assert State.from_json(asked.ledger["search"]).changes
    said = settle(space, None, approve=True, by="kim", reason="looks right")
    assert said.outcome == "promoted"
    assert said.lineage is not None
    assert asked.lineage is not None
    assert said.lineage.model_digest == asked.lineage.model_digest
    assert said.ledger["search"] == asked.ledger["search"]
    assert searched(said) == searched(asked)
    assert "search" not in said.bill


def test_a_search_changes_the_digest_and_only_where_it_is_declared() -> None:
    plain, search = parse(PIPELINE), parse(PIPELINE + SEARCH)
    assert plain.search is None
    assert plain.digest != search.digest
    assert search.model_copy(update={"search": None}).digest == plain.digest
