"""The loop over small streams: what a cycle promises, without a Prefect server."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.retrain import one_cycle, retrain, run_windows
from ratchet.contracts.columns import ACCEPTED, DECISIONS, KEY, LABELS, LANDED, QUARANTINE
from ratchet.contracts.lineage import Decision
from ratchet.errors import DefinitionError, LeaseHeld, NotFound, Refused
from ratchet.register import decision_page
from tasks import decisions, quarantine, windows
from tasks.progress import listening
from tasks.rollback import rollback
from tasks.verify import verify
from tasks.workspace import PATIENCE, run_patience
from tests.streams import (
    PIPELINE,
    at_work,
    land_trusted,
    land_window,
    project,
    quick,
    window_rows,
    workspace,
)

CALIBRATION = "gate.calibration"


def run(home: Path, start: str | None = None, end: str | None = None, replay: str | None = None):
    space = quick(workspace(home, replay))
    return list(run_windows(space, windows.undecided(space, start, end)))


def test_the_loop_learns_and_only_moves_forward(tmp_path: Path) -> None:
    project(tmp_path, 7)
    made = run(tmp_path)
    assert [d.window for d in made] == ["0", "1000", "2000", "3000", "4000", "5000"]
    assert made[0].outcome == made[1].outcome == "held"
    assert made[2].outcome == "promoted"
    assert made[2].champion_after == 1
    assert made[2].candidate["auc"] > 0.8
    assert all(d.accepted == 400 and d.quarantined == 0 for d in made)
    champion = 0
    for decision in made:
        assert (decision.champion_after or 0) >= champion
        champion = decision.champion_after or 0


def test_a_run_with_nothing_due_says_so_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = quick(project(tmp_path, 4))
    monkeypatch.setattr("flows.retrain.open_workspace", lambda _, **__: space)
    first = retrain.fn("tiny")
    assert (first.name, first.data) == ("Completed", {"held": 2, "promoted": 1})
    version = space.tables.version(DECISIONS)
    again = retrain.fn("tiny")
    assert (again.name, again.message, again.data) == ("Completed", "no window was decided", {})
    assert space.tables.version(DECISIONS) == version


def test_a_world_that_turns_round_has_a_new_champion_soon(tmp_path: Path) -> None:
    """Trusted rows say that the world has turned, not the labels; the sequential test follows."""
    trusting = PIPELINE.replace("[train]", '[trusted]\nobjects = "trusted/**"\n\n[train]')
    project(tmp_path, 0, trusting)
    for index in range(10):
        rows = window_rows(index, slope=2.0 if index < 4 else -3.0)
        land_window(tmp_path, index, rows)
        land_trusted(tmp_path, index, truth=rows)
    told: list[Decision] = []
    with listening(told.append):
        made = run(tmp_path)
    every = decisions.done(workspace(tmp_path))
    assert [d.digest for d in told] == [d.digest for d in every]
    first = next(d for d in made if d.window == "5000")  # its labels are the first from that world
    assert first.champion["auc"] < 0.2
    served = {d.window: d for d in made}
    assert served["8000"].champion_after != first.champion_before
    assert served["8000"].champion["auc"] > 0.8


def test_a_cycle_run_again_does_nothing_and_says_the_same(tmp_path: Path) -> None:
    project(tmp_path, 4)
    first = run(tmp_path)
    space = quick(workspace(tmp_path))
    before = {t: space.tables.version(t) for t in (ACCEPTED, LABELS, DECISIONS, QUARANTINE)}
    again = [one_cycle(space, space.calendar.parse(d.window)) for d in first[-1:]]
    assert [d.digest for d in again] == [first[-1].digest]
    assert before == {t: space.tables.version(t) for t in before}
    assert run(tmp_path) == []


def test_replays_give_the_same_decisions_and_bytes_and_touch_no_champion(tmp_path: Path) -> None:
    project(tmp_path, 6)
    live = run(tmp_path)
    one, two = run(tmp_path, replay="one"), run(tmp_path, replay="two")
    assert [d.digest for d in one] == [d.digest for d in two]
    models = [d.lineage.model_digest for d in one if d.lineage]
    assert len(models) >= 3
    assert models == [d.lineage.model_digest for d in live if d.lineage]
    registry = quick(workspace(tmp_path)).registry
    assert registry.alias("tiny", "champion").version == live[-1].champion_after


def test_the_past_is_closed(tmp_path: Path) -> None:
    project(tmp_path, 5)
    run(tmp_path)
    home = tmp_path / "pipelines" / "tiny.toml"
    home.write_text(PIPELINE.replace("max_depth = 3", "max_depth = 2"))
    space = quick(workspace(tmp_path))
    with pytest.raises(Refused, match="only moves forward"):
        one_cycle(space, space.calendar.parse(1500))
    with pytest.raises(Refused, match="--replay"):
        windows.undecided(space, "0", None)
    assert windows.undecided(space, None, None) == []


def test_a_missed_run_loses_no_data(tmp_path: Path) -> None:
    project(tmp_path, 6)
    space = quick(workspace(tmp_path))
    decision = one_cycle(space, space.calendar.parse(4000))
    assert decision.accepted == 400
    assert decision.outcome == "promoted"
    assert space.tables.read(ACCEPTED).num_rows == 5 * 400


def test_nothing_landed_is_said_clearly(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "landing").mkdir()
    with pytest.raises(NotFound, match="no row has landed"):
        run(tmp_path)


def test_fault_05_an_empty_window_trains_nothing(tmp_path: Path) -> None:
    project(tmp_path, 4)
    land_window(tmp_path, 4, window_rows(4).slice(0, 0))
    land_window(tmp_path, 5)
    land_window(tmp_path, 6)
    made = run(tmp_path)
    empty = made[4]
    assert (empty.window, empty.outcome, empty.rows_in) == ("4000", "no_data", 0)
    assert empty.lineage is None
    assert empty.champion_after == made[3].champion_after


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(4)))
def test_fault_06_any_order_of_arrival_gives_the_same_tables(tmp_path_factory, order) -> None:
    home = tmp_path_factory.mktemp("order")
    space = project(home)
    for index in order:
        land_window(home, index)
        windows.landed(space)
    rows = space.landing_tables.read(LANDED).sort_by(KEY)
    expected = pa.concat_tables([window_rows(i) for i in range(4)]).sort_by("id")
    assert rows[KEY].to_pylist() == expected["id"].to_pylist()
    assert rows["x"].to_pylist() == expected["x"].to_pylist()
    assert pc.unique(rows["_window"]).to_pylist() == [0, 1, 2, 3]


def test_fault_07_duplicate_delivery_renamed_copy_and_resent_object(tmp_path: Path) -> None:
    project(tmp_path, 4)
    features = tmp_path / "landing" / "features"
    (features / "copy.parquet").write_bytes((features / "w001.parquet").read_bytes())
    run(tmp_path)
    space = quick(workspace(tmp_path))
    rows = space.tables.read(ACCEPTED).num_rows
    (features / "w002.parquet").write_bytes((features / "w002.parquet").read_bytes())
    land_window(tmp_path, 4)
    run(tmp_path)
    assert rows == 3 * 400
    assert space.tables.read(ACCEPTED).num_rows == 4 * 400
    ledger = space.landing_tables.read("objects").to_pylist()
    assert {x["object_key"] for x in ledger if x["status"] == "duplicate"} == {
        "features/w001.parquet",
        "features/w002.parquet",
    }


def test_copies_of_rows_and_of_labels_are_counted_apart(tmp_path: Path) -> None:
    project(tmp_path, 4)
    run(tmp_path)
    land_window(tmp_path, 4)
    again = window_rows(1).slice(0, 30)
    landing = tmp_path / "landing"
    pa.parquet.write_table(again.drop_columns(["y"]), landing / "features" / "again.parquet")
    labels = again.slice(0, 10).select(["id", "t", "y"])
    pa.parquet.write_table(labels, landing / "labels" / "again.parquet")
    found = {e.check: e for e in run(tmp_path)[0].evidence}
    assert found["rows.copies"].measured == 30
    assert found["labels.copies"].arithmetic == (
        "10 copies of labels that were there before were dropped"
    )


@pytest.mark.parametrize("classes", ["[1, 0]", "[0, 1, 2]", "[2, 0, 1]"])
def test_classes_that_change_their_place_are_refused(tmp_path: Path, classes: str) -> None:
    project(tmp_path, 5)
    assert run(tmp_path)[-1].champion_after
    land_window(tmp_path, 5)
    home = tmp_path / "pipelines" / "tiny.toml"
    several = PIPELINE.replace('"binary"', '"multiclass"') if "2" in classes else PIPELINE
    home.write_text(several.replace("classes = [0, 1]", f"classes = {classes}"))
    with pytest.raises(DefinitionError, match="put the list back, or begin a pipeline"):
        run(tmp_path)
    home.write_text(PIPELINE)
    assert [d.accepted for d in run(tmp_path)] == [400]  # nothing was taken in meanwhile


def test_late_rows_join_the_window_in_which_they_became_known(tmp_path: Path) -> None:
    project(tmp_path, 4)
    run(tmp_path)
    late = window_rows(1, rows=500).slice(400)
    land_window(tmp_path, 4)
    land_window(tmp_path, 5)
    land_window(tmp_path, 90, late)
    made = run(tmp_path)
    assert [(d.window, d.accepted) for d in made] == [("3000", 500), ("4000", 400)]


def test_fault_11_missing_labels_hold_and_are_never_negatives(tmp_path: Path) -> None:
    project(tmp_path, 6)
    for index in (2, 3, 4):
        path = tmp_path / "landing" / "labels" / f"w{index:03d}.parquet"
        path.unlink()
        land_window(tmp_path, index, window_rows(index))
        table = window_rows(index).slice(0, 100)
        pa.parquet.write_table(table.select(["id", "t", "y"]), path)
    made = run(tmp_path)
    assert made[3].outcome == "held"
    assert "labelled share 0.25 < 0.50" in made[3].reasons[0]
    assert made[3].lineage is None or made[3].lineage.rows <= 800


def test_a_batch_that_fails_is_quarantined_whole_and_the_loop_goes_on(tmp_path: Path) -> None:
    project(tmp_path, 7)
    bad = window_rows(3)
    shifted = pc.add(bad["z"], 5.0)
    land_window(tmp_path, 3, bad.set_column(bad.column_names.index("z"), "z", shifted))
    made = run(tmp_path)
    blocked = made[3]
    assert (blocked.outcome, blocked.accepted, blocked.quarantined) == ("blocked", 0, 400)
    assert "z is centred" in blocked.reasons[0]
    assert blocked.champion_after == made[2].champion_after == 1
    assert made[4].accepted == 400
    space = quick(workspace(tmp_path))
    (entry,) = quarantine.entries(space, only_open=True)
    assert (entry["kind"], entry["rows"], entry["window"]) == ("batch", 400, "3000")
    incidents = space.tables.read("incidents").to_pylist()
    assert [i["kind"] for i in incidents] == ["blocked"]


def test_rows_that_fail_are_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    project(tmp_path, 4)
    rows = window_rows(2).to_pylist()
    rows[5]["x"] = 99.0
    rows[6]["x"] = float("inf")
    land_window(tmp_path, 2, pa.Table.from_pylist(rows))
    made = run(tmp_path)
    assert (made[2].rows_in, made[2].accepted, made[2].quarantined) == (400, 398, 2)
    entries = {e["check"]: e for e in quarantine.entries(quick(workspace(tmp_path)), True)}
    assert set(entries) == {"not_finite", "suite.column_values_to_be_between(x)"}


def test_release_counts_from_the_next_window_on_and_is_final(tmp_path: Path) -> None:
    project(tmp_path, 4)
    rows = window_rows(1).to_pylist()
    rows[5]["x"] = 99.0
    land_window(tmp_path, 1, pa.Table.from_pylist(rows))
    run(tmp_path)
    space = quick(workspace(tmp_path))
    (entry,) = quarantine.entries(space, only_open=True)
    with pytest.raises(Refused, match="who decides"):
        quarantine.act(space, entry["entry"], "released", by=" ", reason="seen")
    assert quarantine.act(space, entry["entry"], "released", by="Ada", reason="a real outlier") == 1
    released = space.tables.read(ACCEPTED).filter(pc.field("x") == 99.0).to_pylist()
    assert [r["_known"] for r in released] == [3000]
    with pytest.raises(Refused, match="released by Ada"):
        quarantine.act(space, entry["entry"], "discarded", by="Bob", reason="no")
    assert quarantine.entries(space, only_open=True) == []
    with pytest.raises(NotFound, match="quarantine list"):
        quarantine.lines(space, "no such entry")
    land_window(tmp_path, 4)
    (next_one,) = run(tmp_path)
    assert next_one.outcome in ("held", "promoted", "blocked")


def test_rollback_needs_a_former_champion_and_a_reason(tmp_path: Path) -> None:
    project(tmp_path, 4)
    run(tmp_path)
    space = quick(workspace(tmp_path))
    with pytest.raises(Refused, match="first champion"):
        rollback(space, None, by="Ada", reason="complaints")
    with pytest.raises(Refused, match="never champion"):
        rollback(space, 7, by="Ada", reason="complaints")
    with pytest.raises(Refused, match="champion already"):
        rollback(space, 1, by="Ada", reason="complaints")


def test_rollback_puts_the_old_one_back_and_the_loop_goes_on(tmp_path: Path) -> None:
    project(tmp_path, 9)  # more rows, a better candidate: a new champion comes
    made = run(tmp_path)
    assert made[-1].champion_after == 2
    assert made[-1].ledger["comparison"]["number"] == 1
    space = quick(workspace(tmp_path))
    decision = rollback(space, None, by="Ada", reason="complaints since nine")
    assert (decision.champion_before, decision.champion_after) == (2, 1)
    assert space.registry.alias("tiny", "champion").version == 1
    assert decisions.done(space)[-1].reasons[0].endswith("by Ada: complaints since nine")
    land_window(tmp_path, 9)
    (after,) = run(tmp_path)
    assert after.champion_before == 1
    known = after.ledger["comparison"]
    assert (known["champion"], known["number"], known["windows"]) == (1, 2, 1)


def test_the_page_of_a_decision_is_the_same_when_it_is_written_years_later(tmp_path: Path) -> None:
    project(tmp_path, 9)
    made = run(tmp_path)
    space = quick(workspace(tmp_path))
    rollback(space, None, by="Ada", reason="complaints since nine")
    land_window(tmp_path, 9)
    made += run(tmp_path)
    for one in made:
        was = space.registry.artifact(one.run_id or "", "decision.html").decode()
        again = quick(workspace(tmp_path))
        stored = next(d for d in decisions.done(again) if d.cycle_key == one.cycle_key)
        assert decision_page(stored, decisions.before(again, stored)) == was
        assert one.links["decision"].endswith("/artifacts/decision.html")
    (back,) = (d for d in decisions.done(space) if d.is_rollback)
    page = decision_page(back, decisions.before(space, back))
    assert "Version 1 was put back in place of version 2" in page
    assert "complaints since nine" in page
    judged = [d for d in made if d.candidate]
    bins = [e.details["candidate"] for d in judged for e in d.evidence if e.check == CALIBRATION]
    assert bins
    assert all(sum(rows for *_, rows in one) == 400 for one in bins)
    assert all(d.sources == {"landing": {"rows": d.rows_in, "labels": d.labels_in}} for d in made)


def test_a_page_that_cannot_be_drawn_costs_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("the axis has no length")

    monkeypatch.setattr("ratchet.register.decision_page", broken)
    project(tmp_path, 3)
    made = run(tmp_path)
    assert [d.window for d in made] == ["0", "1000"]
    assert all("decision" not in d.links for d in made)
    with pytest.raises(NotFound, match="no artifact"):
        quick(workspace(tmp_path)).registry.artifact(made[0].run_id or "", "decision.html")


def test_verify_rebuilds_the_same_rows_and_bytes(tmp_path: Path) -> None:
    project(tmp_path, 6)
    run(tmp_path)
    space = quick(workspace(tmp_path))
    assert [e.verdict for e in verify(space, 1)] == ["PASS"] * 4
    changed = (tmp_path / "pipelines" / "tiny.toml").read_text().replace('z = "number"\n', "")
    (tmp_path / "pipelines" / "tiny.toml").write_text(changed)
    found = verify(quick(workspace(tmp_path)), 1)
    assert found[-1].verdict == "ERROR"
    assert "no longer those of this version" in found[-1].arithmetic


def test_fault_33_a_second_run_of_the_pipeline_says_who_holds_it(tmp_path: Path) -> None:
    project(tmp_path, 4)
    space = quick(workspace(tmp_path))
    other = quick(workspace(tmp_path))
    with other.lease.hold("the first run"), pytest.raises(LeaseHeld, match="the first run"):
        one_cycle(space, space.calendar.parse(0))
    assert space.tables.version(DECISIONS) == -1


def test_a_run_of_a_deployment_waits_for_the_one_at_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is there to start it again after the seconds that a backfill's cycle takes."""
    project(tmp_path, 4)
    space = replace(quick(workspace(tmp_path)), patience=30.0)
    with at_work(tmp_path, "a backfill") as end, caplog.at_level(logging.INFO, "ratchet.lease"):
        Timer(1.5, end).start()
        chosen = windows.undecided(space, None, "1000")
        made = [one_cycle(space, window) for window in chosen]
    assert [d.window for d in made] == ["0"]
    assert "'a backfill'" in caplog.text
    assert "this run waits for it, at most 30 s more" in caplog.text


def test_only_a_run_of_a_deployment_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_patience() == 0.0
    monkeypatch.setattr("tasks.workspace.in_flow_run", lambda: True)
    assert run_patience() == 0.0
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "any")
    assert run_patience() == PATIENCE


def test_explain_finds_windows_times_and_versions(tmp_path: Path) -> None:
    project(tmp_path, 4)
    run(tmp_path)
    space = quick(workspace(tmp_path))
    assert decisions.find(space, "2000").window == "2000"
    assert decisions.find(space, "2345").window == "2000"
    assert decisions.find(space, "1").window == "2000"  # the version comes before the time
    with pytest.raises(NotFound, match="ratchet status"):
        decisions.find(space, "yesterday")


def test_fault_08_stray_rows_far_ahead_do_not_move_the_watermark(tmp_path: Path) -> None:
    project(tmp_path, 4)
    far = window_rows(3, rows=2).to_pylist()
    for i, row in enumerate(far):
        row |= {"id": f"far-{i}", "t": 50_000_000 + i}
    land_window(tmp_path, 77, pa.Table.from_pylist(window_rows(3).to_pylist() + far))
    (tmp_path / "landing" / "features" / "w003.parquet").unlink()
    made = run(tmp_path)
    assert [d.window for d in made] == ["0", "1000", "2000"]
    land_window(tmp_path, 4)
    assert [(d.window, d.accepted) for d in run(tmp_path)] == [("3000", 400)]


def test_a_window_that_is_not_over_is_refused(tmp_path: Path) -> None:
    project(tmp_path, 3)
    space = quick(workspace(tmp_path))
    assert windows.named(space, "1500").index == 1
    with pytest.raises(Refused, match="not over yet; the newest complete one is 1000"):
        windows.named(space, "2000")


def test_a_replay_does_not_hold_the_pipeline(tmp_path: Path) -> None:
    project(tmp_path, 4)
    replay, live = quick(workspace(tmp_path, "one")), quick(workspace(tmp_path))
    windows.land(live)
    with replay.lease.hold("a long replay"):
        assert one_cycle(live, live.calendar.window(0)).accepted == 400
