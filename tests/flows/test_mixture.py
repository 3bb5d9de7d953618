"""A pipeline whose model is a mixture: what is trained, what is kept, what can be proved of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.retrain import run_windows
from ratchet import self_train as core
from ratchet.contracts.columns import MEMBERS, WINDOW
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision
from ratchet.contracts.revocation import Reach
from ratchet.contracts.score import member_margins, mix, predict, scores_of, sharpened
from ratchet.contracts.seams import Tables
from tasks import members, windows
from tasks.revoke import revoke
from tasks.verify import _weights, verify
from tasks.workspace import Workspace
from tests.streams import MIXED, land_window, project, quick, window_rows, workspace


def run(home: Path, replay: str | None = None) -> tuple[Workspace, list[Decision]]:
    space = quick(workspace(home, replay))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def trainings(tables: Tables) -> list[int]:
    """The window of each training, in order."""
    return sorted(tables.read(MEMBERS)[WINDOW].to_pylist())


def test_the_mixture_serves_and_each_member_is_trained_when_it_is_due(tmp_path: Path) -> None:
    project(tmp_path, 9, MIXED)
    space, made = run(tmp_path)
    assert [d.outcome for d in made[:3]] == ["held", "held", "promoted"]
    assert {d.recipe for d in made[2:]} == {"mixture"}
    # From window 2 on one window is known, then two, ...: the anchor at 1, 2, 4, the fresh always.
    assert trainings(space.tables) == [2, 2, 3, 3, 4, 5, 5, 6, 7]
    lineage = made[-1].lineage
    assert lineage is not None
    anchor, fresh = lineage.members
    assert (anchor.name, anchor.rows, fresh.name, fresh.rows) == ("anchor", 1600, "fresh", 400)
    assert anchor.as_of < fresh.as_of == lineage.as_of
    assert anchor.weight + fresh.weight == pytest.approx(1)
    assert set(made[-1].recipe_losses) == {"anchor", "fresh"}
    assert anchor.weight > fresh.weight  # it has seen more of a world that stands still
    assert made[-1].recipe_losses["anchor"] < made[-1].recipe_losses["fresh"]
    first = made[2].lineage
    assert first is not None and {m.sharpness for m in first.members} == {1}  # nothing was scored
    assert 1 not in {anchor.sharpness, fresh.sharpness}
    assert first.temperature == lineage.temperature == 1  # no steady run yet
    assert len(made[-1].sharpness_losses) == len(core.BOLDNESS)
    assert {len(v) for v in made[-1].member_sharpness.values()} == {len(core.SHARPNESS)}
    assert set(made[-1].share_losses) == {f"{s:g}" for s in core.SHARES}


def test_the_bundle_scores_what_its_members_say_with_their_weights(tmp_path: Path) -> None:
    project(tmp_path, 6, MIXED)
    space, made = run(tmp_path)
    champion = made[-1].champion_after
    assert champion is not None
    bundle, rows = space.registry.load("tiny", champion), window_rows(7)
    weights = {m.name: m.weight for m in bundle.manifest.lineage.members}
    made_as = bundle.manifest.lineage
    assert len(made_as.level) == 1
    sharpness = {m.name: m.sharpness for m in made_as.members}
    assert 1 not in sharpness.values() and bundle.manifest.format == 3
    margins = sharpened(member_margins(bundle, rows), sharpness)
    found = scores_of("binary", mix(margins, weights, made_as.temperature, made_as.level))
    assert (predict(bundle, rows) == found).all()
    assert set(bundle.files()) == {
        "manifest.json",
        "reference.parquet",
        "member-anchor.ubj",
        "member-fresh.ubj",
    }


def test_a_level_is_judged_by_what_the_model_had_that_served_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    level = members.level

    def recorded(definition, history, before=None):
        asked.append(before)
        return level(definition, history, before)

    monkeypatch.setattr(members, "level", recorded)
    project(tmp_path, 6, MIXED)
    _, made = run(tmp_path)
    candidates = [d.lineage.train_before for d in made if d.lineage is not None]
    # Once for the model, with all that is known; once for the rows, from where they were held out.
    assert asked == [before for held in candidates for before in (None, held)]
    assert len(candidates) == 3


def test_a_replay_makes_the_same_members_without_the_kept_ones(tmp_path: Path) -> None:
    project(tmp_path, 7, MIXED)
    _, made = run(tmp_path)
    replayed, again = run(tmp_path, "again")
    assert [d.digest for d in again] == [d.digest for d in made]
    assert len(trainings(replayed.tables)) == 7


def test_verify_trains_each_member_again_and_weighs_it_again(tmp_path: Path) -> None:
    project(tmp_path, 9, MIXED)
    space, made = run(tmp_path)
    champion = made[-1].champion_after
    assert champion is not None
    found = verify(space, champion)
    assert [e.check for e in found][-3:] == ["verify.rows", "verify.model", "verify.weights"]
    assert {e.verdict for e in found} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("code", "verdict"), [(None, Verdict.BLOCK), ("0" * 64, Verdict.INCONCLUSIVE)]
)
def test_verify_sees_another_sharpness_and_what_other_code_made(
    tmp_path: Path, code: str | None, verdict: Verdict
) -> None:
    project(tmp_path, 9, MIXED)
    space, made = run(tmp_path)
    lineage = made[-1].lineage
    assert lineage is not None
    surer = [replace(m, sharpness=m.sharpness * 1.01) for m in lineage.members]
    other = replace(lineage, members=tuple(surer), code_digest=code or lineage.code_digest)
    found = _weights(space, other, lineage)
    assert found.verdict is verdict
    assert f"{surer[0].weight:.4f} x {surer[0].sharpness:.4f}" in found.arithmetic
    assert _weights(space, lineage, lineage).verdict is Verdict.PASS


def test_what_a_revoked_source_sent_leaves_every_member(tmp_path: Path) -> None:
    """A kept model is no hiding place: the revocation changes what its training is called."""
    project(tmp_path, 8, MIXED)
    space, made = run(tmp_path)
    before = made[-1].lineage
    assert before is not None
    start, end = (space.calendar.window(i).start for i in (1, 3))
    reach = Reach("landing", known_from=start, known_until=end)
    revoke(space, reach, reason="its sensor was moved", by="ann")
    land_window(tmp_path, 8)
    _, after = run(tmp_path)
    assert after
    lineage = after[-1].lineage
    assert lineage is not None
    known = {m.data_digest for m in before.members}
    assert not any(m.data_digest in known for m in lineage.members)
    found = verify(space, after[-1].champion_after or 0)
    assert [e.verdict for e in found if e.check == "verify.rows"] == [Verdict.PASS]
    # Rows of windows 1 and 2 and labels of 0 and 1 are gone: 3 is the first of three, 6 held out.
    assert [m.rows for m in lineage.members] == [800, 400]


def test_a_member_that_cannot_learn_yet_is_left_out(tmp_path: Path) -> None:
    project(tmp_path, 6, MIXED.replace("min_rows = 100\n\n\n[[mix", "min_rows = 500\n\n\n[[mix"))
    _, made = run(tmp_path)
    members = [[m.name for m in d.lineage.members] for d in made if d.lineage]
    assert members
    assert all(names == ["anchor"] for names in members)


def test_a_mixture_of_which_no_member_can_learn_is_no_candidate(tmp_path: Path) -> None:
    project(tmp_path, 4, MIXED.replace("min_rows = 100\n\n\n[[mix", "min_rows = 9000\n\n\n[[mix"))
    _, made = run(tmp_path)
    assert made[-1].outcome == "held"
    assert "anchor: 400 training rows < train.min_rows (9000); fresh: " in made[-1].reasons[0]


def test_a_level_that_earlier_decisions_do_not_give_is_found(tmp_path: Path) -> None:
    project(tmp_path, 7, MIXED)
    space, made = run(tmp_path)
    lineage = next(d.lineage for d in reversed(made) if d.lineage is not None)
    assert _weights(space, lineage, lineage).verdict is Verdict.PASS
    for level in ((), (lineage.level[0] + 0.01,)):
        found = _weights(space, replace(lineage, level=level), lineage)
        assert found.verdict is Verdict.BLOCK


def shifted(index: int) -> pa.Table:
    """A window whose labels follow another rule; as many are positive."""
    table = window_rows(index)
    rng = np.random.default_rng(index)
    y = rng.random(table.num_rows) < 1 / (1 + np.exp(2 - 2 * table["x"].to_numpy() ** 2))
    return table.set_column(table.column_names.index("y"), "y", pa.array(y.astype(np.int64)))


def test_a_rule_that_moves_is_followed_as_soon_as_a_model_has_learned_it(tmp_path: Path) -> None:
    """The window of the change is judged on in one cycle and learned from in the next."""
    change = 6
    project(tmp_path, change, MIXED.replace("[validate]", "[validate]\nmax_skill_loss = 1.0", 1))
    for index in range(change, change + 4):
        land_window(tmp_path, index, shifted(index))
    space, made = run(tmp_path)
    judged, after = (d for d in made if d.window_index in {change + 1, change + 2})
    assert judged.lineage is not None and after.lineage is not None
    parts = {m.name: m for m in after.lineage.members}
    assert parts["anchor"].halves is None
    assert parts["fresh"].train_from == judged.lineage.train_before
    assert parts["fresh"].halves is not None
    assert parts["fresh"].halves < judged.recipe_losses["fresh"]  # that one knew the old rule
    without = [replace(m, levelled_halves=None) for m in parts.values()]
    slower = members.weigh(space.definition, made[: made.index(after)], without).weights
    assert parts["fresh"].weight > slower["fresh"] + 0.2
    assert {e.verdict for e in verify(space, after.champion_after or 0)} == {Verdict.PASS}
