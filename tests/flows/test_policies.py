"""Policies side by side: each in its own replay, judged on the same windows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.retrain import run_windows
from ratchet.cli.main import ratchet
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.recipes import POLICIES
from ratchet.contracts.score import predict
from tasks import decisions, windows
from tasks.policies import compare, losses, under
from tests.streams import PIPELINE, project, quick, window_rows


def played(home: Path, policy: str):
    space = quick(under(project(home), policy))
    list(run_windows(space, windows.undecided(space, None, None)))
    return policy, space, decisions.done(space)


def test_each_policy_is_scored_with_what_served_when_the_window_began(tmp_path: Path) -> None:
    project(tmp_path, 9)
    one, other = played(tmp_path, "declared"), played(tmp_path, "mixture")
    _, space, made = one
    found = losses(space, made)
    window = max(found)
    before = next(d for d in made if d.window_index == window - 1).champion_after
    assert before is not None
    rows = window_rows(window)
    scores = predict(space.registry.load("tiny", before), rows)
    again = row_losses("binary", rows["y"].to_numpy().astype(float), scores).mean()
    assert found[window].served == pytest.approx(again)

    scored = compare([one, other])
    assert [s.policy for s in scored] == ["declared", "mixture"]
    shared = set(found) & set(losses(*other[1:]))
    assert {s.windows for s in scored} == {len(shared)}
    assert scored[0].served == pytest.approx(
        math.fsum(found[w].served for w in shared) / len(shared)
    )
    assert scored[0].bill["avoided"] == 0 < scored[1].bill["avoided"]
    assert all(s.bill["cpu"] > s.bill["training"] > 0 for s in scored)


def test_a_stream_without_a_champion_has_no_score(tmp_path: Path) -> None:
    project(tmp_path, 2)
    (score,) = compare([played(tmp_path, "full")])
    assert score.windows == 0
    assert math.isnan(score.served)


def test_the_command_prints_the_table_and_leaves_the_pipeline_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = quick(project(tmp_path, 6))
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda _: space)
    asked = ["backfill", "tiny", "--policy", "shallow", "--policy", "mixture"]
    done = CliRunner().invoke(ratchet, asked)
    assert done.exit_code == 0, done.output
    assert "served" in done.output
    assert "shallow" in done.output
    assert decisions.done(space) == []
    again = CliRunner().invoke(ratchet, [*asked, "--json"])
    scores = json.loads(again.stdout.strip().splitlines()[-1])
    assert [s["policy"] for s in scores] == ["shallow", "mixture"]
    assert "shallow: 0 windows to replay" in again.stderr


def test_a_policy_takes_no_other_way_to_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(ratchet, ["backfill", "tiny", "--policy", "full", "--dry-run"])
    assert done.exit_code == 2
    assert "leave out the rest" in done.output


def test_a_policy_has_a_definition_digest_of_its_own(tmp_path: Path) -> None:
    space = project(
        tmp_path, 0, PIPELINE + "\n[economics]\nloss_worth = 1\ncpu_hour = 1\n[search]\n"
    )
    digests = {space.definition.digest: "declared"}  # kept by the definition from now on
    for policy in POLICIES:
        digests[under(space, policy).definition.digest] = policy
    assert list(digests.values()) == list(POLICIES)
