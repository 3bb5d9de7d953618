"""A source is taken back out: rows, labels, models; and only that source."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.retrain import run_windows, take_back
from ratchet.contracts.columns import ACCEPTED, REVOCATIONS, SOURCE
from ratchet.contracts.lineage import Lineage
from ratchet.contracts.revocation import Reach, Sent, tainted_versions
from ratchet.errors import NotFound, Refused
from tasks import decisions, quarantine, windows
from tasks.blast import blast_radius
from tasks.reach import object_named
from tasks.revoke import answer_alarms, restore, revoked
from tasks.verify import verify
from tests import streams

TWO = streams.PIPELINE.replace('"features/**"', '"features/{source}/**"')


def put(home: Path, key: str, table: pa.Table) -> None:
    path = home / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    pq.write_table(table, out)
    path.write_bytes(out.getvalue())


def land(home: Path, index: int, both: bool = True) -> None:
    rows = streams.window_rows(index)
    features = rows.select(["id", "t", "x", "z", "c"])
    put(home, f"features/good/w{index:03d}.parquet", features.slice(0, 300) if both else features)
    if both:
        put(home, f"features/bad/w{index:03d}.parquet", features.slice(300))
    put(home, f"labels/w{index:03d}.parquet", rows.select(["id", "t", "y"]))


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Windows 0 to 3 by one source alone, then two: champions with and without the second."""
    home = tmp_path_factory.mktemp("decided")
    streams.project(home, 0, TWO)
    for index in range(9):
        land(home, index, both=index >= 4)
    space = streams.quick(streams.workspace(home))
    list(run_windows(space, windows.undecided(space, None, "7000")))
    return home


@pytest.fixture
def space(decided, tmp_path):
    return streams.copied(decided, tmp_path)


def champion(space):
    return space.registry.alias("tiny", "champion").version


def test_the_blast_radius_is_said_and_nothing_is_written(space):
    before = champion(space)
    found = blast_radius(space, Reach("bad"))
    assert found.rows == 300
    assert found.windows == ("4000", "6000")
    assert before in found.versions or found.restored == before
    assert space.tables.version(REVOCATIONS) == -1
    assert champion(space) == before


def test_a_revoked_source_is_gone_from_training_and_the_clean_champion_is_back(space):
    tainted = blast_radius(space, Reach("bad")).versions
    served = champion(space)
    found = take_back(space, Reach("bad"), by="ana", reason="caught cheating").blast
    assert champion(space) == found.restored
    if served in tainted:
        assert champion(space) not in tainted
        assert decisions.done(space)[-1].champion_after == champion(space)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert made
    for decision in made:
        assert decision.lineage is None or decision.lineage.revocations_version == 0
        assert decision.rows_in == 400
        assert decision.accepted == 300
        (told,) = (e for e in decision.evidence if e.check == "source.revoked")
        assert told.arithmetic == "100 rows of revoked sources went to quarantine unread"
    entries = quarantine.entries(space, only_open=True)
    assert {e["check"] for e in entries} == {"source.revoked"}
    later = blast_radius(space, Reach("bad")).versions
    assert set(later) <= set(tainted)


def test_old_models_still_rebuild_to_the_byte(space):
    versions = [v.version for v in space.registry.versions("tiny")]
    take_back(space, Reach("bad"), by="ana", reason="caught cheating")
    list(run_windows(space, windows.undecided(space, None, None)))
    newest = [v.version for v in space.registry.versions("tiny")]
    for version in {*versions, *newest}:
        assert all(e.verdict.lets_through for e in verify(space, version))


def test_twice_is_once_and_a_person_can_let_it_back(space):
    take_back(space, Reach("bad"), by="ana", reason="caught cheating")
    again = take_back(space, Reach("bad"), by="ana", reason="caught cheating").blast
    assert again.restored == champion(space)
    assert space.tables.read(REVOCATIONS).num_rows == 1
    assert [r.source for r in revoked(space)] == ["bad"]
    restore(space, "bad", by="ben", reason="it was the meter")
    assert revoked(space) == ()
    with pytest.raises(NotFound, match="not revoked"):
        restore(space, "bad", by="ben", reason="again")
    take_back(space, Reach("bad"), by="ana", reason="it was not")
    assert [r.source for r in revoked(space)] == ["bad"]


def test_since_spares_what_came_before(space):
    since = space.calendar.parse("6000").start
    assert blast_radius(space, Reach("bad", since)).rows == 100
    assert blast_radius(space, Reach("bad", since)).windows == ("6000",)


def test_one_batch_is_taken_back_and_the_next_one_of_the_source_is_learned_from(space):
    batch = space.calendar.parse("6000")
    taken = take_back(space, Reach("bad", batch.start, batch.end), by="ana", reason="one bad file")
    assert taken.blast.rows == 100
    assert taken.blast.windows == ("6000",)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert [d.accepted for d in made] == [d.rows_in for d in made]
    assert not quarantine.entries(space, only_open=True)


def test_one_object_is_taken_back(space):
    reach = object_named(space, "features/bad/w005.parquet")
    assert object_named(space, reach.object[:12]) == reach
    assert reach.source == "bad"
    found = take_back(space, reach, by="ana", reason="one bad file").blast
    assert (found.object, found.rows) == (reach.object, 100)
    again = take_back(space, reach, by="ana", reason="one bad file")
    assert again.blast.rows == 100
    assert space.tables.read(REVOCATIONS).num_rows == 1
    for name in ("nope", "", reach.object[:4]):
        with pytest.raises(NotFound, match="expected one object"):
            object_named(space, name)
    with pytest.raises(NotFound, match="object 'nope'"):
        blast_radius(space, Reach("bad", object="nope"))


def test_what_is_left_is_learned_from_at_once_and_passes_the_same_gates(space):
    newest = decisions.done(space)[-1]
    taken = take_back(space, Reach("good"), by="ana", reason="all of it")
    made = taken.relearned
    assert made is not None
    assert made.window == newest.window
    assert made.cycle_key != newest.cycle_key
    assert made.outcome in ("held", "promoted", "blocked")
    assert decisions.done(space)[-1].cycle_key == made.cycle_key
    again = take_back(space, Reach("good"), by="ana", reason="all of it")
    assert again.relearned is not None
    assert again.relearned.cycle_key == made.cycle_key
    assert len([d for d in decisions.done(space) if d.cycle_key == made.cycle_key]) == 1


def test_a_model_trained_without_is_not_tainted_and_rebuilds_to_the_byte(tmp_path):
    """One source sends noise for x; the model without it is promoted."""
    streams.project(tmp_path, 0, TWO)
    for index in range(9):
        land(tmp_path, index)
        features = streams.window_rows(index).select(["id", "t", "x", "z", "c"]).slice(300)
        x = pa.array(np.random.default_rng(index).permutation(features["x"].to_numpy()))
        put(tmp_path, f"features/bad/w{index:03d}.parquet", features.set_column(2, "x", x))
    space = streams.quick(streams.workspace(tmp_path))
    list(run_windows(space, windows.undecided(space, None, None)))
    before = blast_radius(space, Reach("bad"))
    assert before.champion in before.versions
    taken = take_back(space, Reach("bad"), by="ana", reason="turned around")
    made = taken.relearned
    assert made is not None
    assert made.lineage is not None
    assert made.lineage.revocations_version == 0
    if made.champion_after != made.champion_before:
        assert made.champion_after not in blast_radius(space, Reach("bad")).versions
        assert all(e.verdict.lets_through for e in verify(space, made.champion_after))
    assert made.outcome == "held"  # its window was counted when the tainted one was judged
    assert "all rows counted before" in made.reasons[0]
    for index in range(9, 14):
        land(tmp_path, index)
    *_, last = run_windows(space, windows.undecided(space, None, None))
    assert last.champion_after not in blast_radius(space, Reach("bad")).versions


def test_nobody_is_revoked_without_name_and_reason(space):
    with pytest.raises(Refused, match="who decides"):
        take_back(space, Reach("bad"), by=" ", reason="x")
    with pytest.raises(NotFound, match="found \\['bad', 'good'"):
        blast_radius(space, Reach("ugly"))


def test_where_every_champion_learned_from_it_the_report_says_so_loudly(space):
    found = take_back(space, Reach("good"), by="ana", reason="all of it").blast
    assert found.restored == found.champion == champion(space)
    assert "a person should look" in found.note


def test_an_alarm_is_answered_once(tmp_path):
    """Both sources are checked; the one that lies is revoked, the other goes on."""
    text = TWO + '\n[trusted]\nobjects = "trusted/**"\nmin_rows = 40\n'
    streams.project(tmp_path, 0, text)
    for index in range(10):
        rows = streams.window_rows(index)
        land(tmp_path, index)
        chosen = np.sort(np.random.default_rng(index).choice(400, 200, replace=False))
        put(tmp_path, f"trusted/w{index:03d}.parquet", rows.take(pa.array(chosen)))
        if index >= 4:  # one row in 12 of the bad source holds another x
            features = rows.select(["id", "t", "x", "z", "c"]).slice(300)
            x = features["x"].to_numpy().copy()
            x[::12] = -x[::12]
            put(
                tmp_path,
                f"features/bad/w{index:03d}.parquet",
                features.set_column(2, "x", pa.array(x)),
            )
    space = streams.quick(streams.workspace(tmp_path))
    list(run_windows(space, windows.undecided(space, None, None)))
    assert [r.source for r in revoked(space)] == ["bad"]
    lines = space.tables.read(REVOCATIONS)
    assert lines.num_rows == 1
    assert lines["by"].to_pylist() == ["ratchet"]
    answer_alarms(space)
    assert space.tables.read(REVOCATIONS).num_rows == 1
    assert "good" in set(space.tables.read(ACCEPTED)[SOURCE].to_pylist())


FILE = np.array(["f"], dtype=object)


def line_of(as_of, before, since=None):
    return Lineage("p", "w", as_of, {}, 1, 1, 0, 0, since, before, 10, "d", "e", "f", None)


def test_taint_spreads_through_pseudo_labels_to_a_fixpoint():
    rows = Sent(
        np.array(["bad", "good"], dtype=object), np.array([10, 20]), np.array([10, 20]), FILE
    )
    labels = Sent(
        np.array(["good", "model/1", "model/2"], dtype=object),
        np.array([20, 30, 40]),
        np.array([21, 31, 41]),
        FILE,
    )
    lineages = {
        1: line_of(25, 15),
        2: line_of(35, 35, since=25),  # learned only from what version 1 labelled
        3: line_of(45, 45, since=36),  # and this one from what version 2 labelled
        4: line_of(25, 25, since=15),  # from the good source alone
    }
    assert tainted_versions(lineages, [rows, labels], [Reach("bad", 0)]) == {1, 2, 3}
    assert tainted_versions(lineages, [rows, labels], [Reach("bad", 11)]) == set()


def test_the_command_says_what_would_change(space, monkeypatch):
    from click.testing import CliRunner

    from ratchet.cli import source as cli

    monkeypatch.setattr(cli, "only_pipeline", lambda p: p or "tiny")
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda *_: space)
    run = CliRunner()
    said = run.invoke(cli.source, ["revoke", "bad", "--dry-run"])
    assert said.exit_code == 0, said.output
    assert "Nothing was written" in said.output
    assert "300 accepted" in said.output
    assert "Source bad since 0\n" in said.output
    said = run.invoke(cli.source, ["revoke", "bad", "--window", "4500", "--dry-run"])
    assert "Source bad from 4000 until 5000\n" in said.output
    said = run.invoke(cli.source, ["revoke", "bad"])
    assert "say who decides" in said.output
    who = ["--by", "ana", "--reason", "caught"]
    said = run.invoke(cli.source, ["revoke", "bad", "--json", *who])
    assert json.loads(said.stdout)["rows"] == 300  # log lines go elsewhere
    said = run.invoke(cli.source, ["list"])
    assert "bad: revoked" in said.output
    said = run.invoke(cli.source, ["restore", "bad", *who])
    assert "learned from again" in said.output
