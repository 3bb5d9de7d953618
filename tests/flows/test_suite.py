"""The world moves: the suite blocks, trusted rows say why, a person accepts, the loop goes on."""

import json

import pyarrow as pa
import pytest
from click.testing import CliRunner

from flows.retrain import run_windows
from ratchet.cli import suite as cli
from ratchet.errors import NotFound, Refused
from tasks import windows
from tasks.suite import accept, propose
from tests import streams

TRUSTED = '\n[trusted]\nobjects = "trusted/**"\nmin_rows = 40\n'
FEATURES = ["id", "t", "x", "z", "c"]


def land(home, index, shift=0.0, trusted=True):
    rows = streams.window_rows(index)
    rows = rows.set_column(
        rows.schema.get_field_index("z"), "z", pa.array(rows["z"].to_numpy() + shift)
    )
    streams.put(home, f"features/w{index:03d}.parquet", rows.select(FEATURES))
    streams.put(home, f"labels/w{index:03d}.parquet", rows.select(["id", "t", "y"]))
    if trusted:
        streams.land_trusted(home, index, truth=rows)


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    home = tmp_path_factory.mktemp("decided")
    streams.project(home, 0, streams.PIPELINE + TRUSTED)
    for index in range(7):
        land(home, index, shift=3.0 if index >= 4 else 0.0)
    space = streams.quick(streams.workspace(home))
    list(run_windows(space, windows.undecided(space, None, None)))
    return home


@pytest.fixture
def space(decided, tmp_path):
    return streams.copied(decided, tmp_path)


def test_what_the_trusted_rows_show_is_proposed_accepted_and_then_learned_from(space):
    found = propose(space)
    assert found.trusted
    (change,) = found.changes
    assert change.index == 1
    assert 3.0 < change.kwargs["max_value"] < 3.8
    path, made = accept(space, found, [1], by="ana", reason="a new meter")
    assert made == (change,)
    written = json.loads(path.read_text("utf-8"))
    assert written["expectations"][1]["kwargs"]["max_value"] == change.kwargs["max_value"]
    assert written["expectations"][0] == space.suite["expectations"][0]
    home = space.settings.home
    again = streams.quick(streams.workspace(home))
    assert propose(again).changes == ()
    land(home, 7, shift=3.0)
    land(home, 8, shift=3.0)
    (decision, *_) = list(run_windows(again, windows.undecided(again, None, None)))
    assert decision.accepted == streams.ROWS, decision.reasons


def test_without_trusted_rows_it_says_that_nobody_vouches(tmp_path, monkeypatch):
    streams.project(tmp_path, 0, streams.PIPELINE)
    for index in range(4):
        land(tmp_path, index, shift=3.0, trusted=False)
    space = streams.quick(streams.workspace(tmp_path))
    list(run_windows(space, windows.undecided(space, None, None)))
    assert not propose(space).trusted
    monkeypatch.setattr(cli, "only_pipeline", lambda p: p or "tiny")
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda *_: space)
    said = CliRunner().invoke(cli.suite, ["diff"])
    assert said.exit_code == 0, said.output
    assert "nobody vouches" in said.output
    assert "+ max_value" in said.output


def test_nothing_is_accepted_without_name_reason_or_proposal(space):
    found = propose(space)
    with pytest.raises(Refused, match="who decides"):
        accept(space, found, [], by="", reason="x")
    with pytest.raises(NotFound, match="no trusted row landed in the last 0 windows"):
        propose(space, 0)
    with pytest.raises(Refused, match=r"no change is proposed for rule \[0\]"):
        accept(space, found, [0], by="ana", reason="x")


def test_the_commands_show_propose_and_write(space, monkeypatch):
    monkeypatch.setattr(cli, "only_pipeline", lambda p: p or "tiny")
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda *_: space)
    run = CliRunner()
    said = run.invoke(cli.suite, ["show"])
    assert "z is centred" in said.output
    assert "2 rules" in said.output or "rules in expectations/tiny.json" in said.output
    assert json.loads(run.invoke(cli.suite, ["show", "--json"]).stdout) == space.suite
    said = run.invoke(cli.suite, ["diff"])
    assert "trusted rows" in said.output
    assert "- max_value 1" in said.output
    assert json.loads(run.invoke(cli.suite, ["diff", "--json"]).stdout)["changes"]
    said = run.invoke(cli.suite, ["accept", "--by", "ana", "--reason", "a new meter"])
    assert "Changed 1 rule in" in said.output
