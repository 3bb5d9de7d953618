"""A mixture with a member that another one teaches: what it learns, what counts, what is proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.retrain import run_windows
from ratchet.contracts.columns import MEMBERS
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision, MemberLineage
from ratchet.contracts.revocation import Reach
from ratchet.contracts.score import predict
from tasks import windows
from tasks.blast import blast_radius
from tasks.verify import verify
from tasks.workspace import Workspace
from tests.streams import MIXED, project, quick, window_rows, workspace

PUPIL = """
[[mixture.members]]
name = "pupil"
teacher = "fresh"
rounds = 12
max_depth = 3

"""
TAUGHT = MIXED.replace("[drift]", f"{PUPIL}[drift]")


def run(home: Path, replay: str | None = None) -> tuple[Workspace, list[Decision]]:
    space = quick(workspace(home, replay))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def pupil_of(decision: Decision) -> MemberLineage:
    assert decision.lineage is not None
    return next(m for m in decision.lineage.members if m.name == "pupil")


def test_a_pupil_learns_what_waits_for_labels_and_earns_its_weight(tmp_path: Path) -> None:
    project(tmp_path, 11, TAUGHT)
    space, made = run(tmp_path)
    first, last = pupil_of(made[2]), pupil_of(made[-1])
    # 400 rows of the newest window have no label yet; a keyed hash lets about half be taught.
    assert 150 < last.pseudo_rows < 250
    assert (last.rows, last.pseudo_from, last.as_of) == (400 * 8, 9_000, 10_000)
    assert first.weight == 0 == pupil_of(made[7]).weight  # fewer than six windows have judged it
    assert last.weight > 0  # its teacher knows one window only
    assert made[7].recipe_losses["pupil"] < made[7].recipe_losses["fresh"]
    assert sum(m.weight for m in made[-1].lineage.members) == pytest.approx(1)  # type: ignore[union-attr]
    champion = made[-1].champion_after
    assert champion is not None
    checks = {e.check: e.verdict for e in verify(space, champion)}
    assert set(checks.values()) == {Verdict.PASS}
    assert {"verify.pseudo", "verify.weights"} < set(checks)
    _, again = run(tmp_path, "again")
    assert [d.digest for d in again] == [d.digest for d in made]


def test_without_weight_a_pupil_changes_nothing_that_is_served(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    scores = []
    for folder, text in (("with", TAUGHT), ("without", MIXED)):
        project(tmp_path / folder, 5, text)
        space, made = run(tmp_path / folder)
        champion = made[-1].champion_after
        assert champion is not None
        scores.append(predict(space.registry.load("tiny", champion), window_rows(9)))
    assert (scores[0] == scores[1]).all()


def test_a_revocation_reaches_the_rows_that_were_only_taught(tmp_path: Path) -> None:
    project(tmp_path, 4, f"{TAUGHT}\n[sealed]\nshare = 0.5\nmin_rows = 50\n")
    space, made = run(tmp_path)
    champion = made[-1].champion_after
    assert champion is not None
    assert 60 < pupil_of(made[-1]).pseudo_rows < 140  # of 400 half are sealed, and never taught
    pupil = next(
        m
        for m in space.registry.load("tiny", champion).manifest.lineage.members
        if m.name == "pupil"
    )
    assert pupil.pseudo_from is not None
    # Rows known since then have no mature label yet, so no true label of theirs was learned.
    reach = Reach("landing", known_from=pupil.pseudo_from, known_until=pupil.as_of)
    assert champion in blast_radius(space, reach).versions
    later = Reach("landing", known_from=pupil.as_of)
    assert champion not in blast_radius(space, later).versions
    assert space.tables.read(MEMBERS).num_rows
