"""What every Registry promises, over each implementation."""

from __future__ import annotations

import inspect
import json
import math
import shutil
from pathlib import Path

import pytest

from ratchet.adapters.local_registry import LocalRegistry
from ratchet.adapters.mlflow_registry import MlflowRegistry
from ratchet.contracts.score import predict
from ratchet.contracts.seams import CYCLE_KEY_TAG, DIGEST_TAG, Registry, curves_key
from ratchet.errors import ModelError, NotFound, Refused, StorageError, Tampered
from tests import small_bundle
from tests.mlflow_database import fresh_mlflow

KEY = "flights/9/abcdef0123456789"


@pytest.fixture(params=["local", "mlflow"])
def registry(request, tmp_path: Path) -> Registry:
    if request.param == "local":
        return LocalRegistry(tmp_path / "registry")
    return fresh_mlflow(tmp_path)


def again(registry: Registry) -> Registry:
    """The same registry as another process sees it."""
    if isinstance(registry, LocalRegistry):
        return LocalRegistry(registry.directory)
    assert isinstance(registry, MlflowRegistry)
    return MlflowRegistry(registry.tracking_uri, registry.artifact_root)


def made(registry: Registry, key: str = KEY, seed: int = 1):
    run = registry.open_run("flights", key, f"cycle {key}")
    bundle = small_bundle.bundle(seed)
    tags = {"ratchet.window": "2013-03-05"}
    return registry.create_version("flights", key, run, bundle, tags, "## Hello\n\ntext")


def bundle_folder(registry: Registry, version: int = 1) -> Path:
    """Where the stored bundle of a version lies, for tests that damage it."""
    if isinstance(registry, LocalRegistry):
        return registry.directory / "models" / "flights" / "versions" / str(version) / "bundle"
    assert isinstance(registry, MlflowRegistry)
    source = registry.client.get_model_version("flights", str(version)).source
    return Path(source.removeprefix("file://")) / "bundle"


@pytest.mark.parametrize("implementation", [LocalRegistry, MlflowRegistry])
def test_signatures_are_those_of_the_seam(implementation):
    for name, method in inspect.getmembers(Registry, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(implementation, name)) == inspect.signature(method)


def test_a_run_is_opened_once_a_cycle(registry):
    first = registry.open_run("flights", KEY, "2013-03-05")
    assert registry.open_run("flights", KEY, "2013-03-05") == first
    assert again(registry).open_run("flights", KEY, "2013-03-05") == first
    assert registry.open_run("flights", "flights/10/abc", "2013-03-12") != first


def test_a_closed_run_can_be_opened_and_closed_again(registry):
    run = registry.open_run("flights", KEY, "w")
    registry.close_run(run, ok=False)
    assert registry.open_run("flights", KEY, "w") == run
    registry.close_run(run)
    registry.close_run(run)


def test_logging_twice_changes_nothing_and_new_values_win(registry):
    run = registry.open_run("flights", KEY, "w")

    def log(auc: float) -> None:
        registry.log(
            run,
            step=9,
            metrics={"candidate/auc": auc, "broken": math.nan},
            params={"recipe": "all_history"},
            tags={"outcome": "held"},
            artifacts={"drift/report.html": b"<p>drift</p>", "decision.json": b"{}"},
            datasets=[("training set", "d" * 64, "/tables/flights/accepted@9", "training")],
        )

    log(0.7)
    before = recorded(registry, run)
    log(0.7)
    assert recorded(registry, run) == before
    log(0.6)
    registry.log(run, step=10, metrics={"candidate/auc": 0.9})
    registry.log(run, step=9, metrics={"candidate/auc": 0.6})
    assert metric(registry, run, 9) == 0.6
    assert metric(registry, run, 10) == 0.9
    assert registry.artifact(run, "drift/report.html") == b"<p>drift</p>"


def recorded(registry: Registry, run: str):
    if isinstance(registry, LocalRegistry):
        return (registry.directory / "runs" / run / "run.json").read_text()
    found = registry.client.get_run(run).to_dictionary()
    history = registry.client.get_metric_history(run, "candidate/auc")
    return json.dumps([found, [(m.step, m.value, m.timestamp) for m in history]], sort_keys=True)


def metric(registry: Registry, run: str, step: int) -> float:
    if isinstance(registry, LocalRegistry):
        content = json.loads((registry.directory / "runs" / run / "run.json").read_text())
        return content["metrics"]["candidate/auc"][str(step)]
    history = registry.client.get_metric_history(run, "candidate/auc")
    return [m.value for m in history if m.step == step][-1]


def test_a_point_of_a_curve_is_there_once_and_each_window_has_its_own(registry):
    for step, loss in ((4, 0.5), (4, 0.5), (5, 0.25)):
        again(registry).chart("flights", step, 1000 * step, {"candidate/loss": loss})
    other = registry.open_run("flights", KEY, "a cycle")
    found = registry.open_run("flights", curves_key("flights"), "any")
    assert found != other
    if isinstance(registry, LocalRegistry):
        run = json.loads((registry.directory / "runs" / found / "run.json").read_text())
        assert run["metrics"]["candidate/loss"] == {"4": 0.5, "5": 0.25}
        return
    history = registry.client.get_metric_history(found, "candidate/loss")
    assert [(m.step, m.value, m.timestamp) for m in history] == [(4, 0.5, 4000), (5, 0.25, 5000)]
    assert registry.client.get_run(found).info.run_name == "flights over windows"


def test_a_changed_parameter_does_not_wedge_the_cycle(registry):
    run = registry.open_run("flights", KEY, "w")
    registry.log(run, params={"code_digest": "a" * 64, "long": "x" * 9000})
    registry.log(run, params={"code_digest": "b" * 64, "long": "x" * 9000})
    assert "b" * 64 in recorded(registry, run)


def test_artifacts_are_replaced_and_large_ones_kept_whole(registry):
    run = registry.open_run("flights", KEY, "w")
    registry.log(run, artifacts={"drift/report.html": b"old"})
    page = b"<html>" + b"x" * 4_000_000
    registry.log(run, artifacts={"drift/report.html": page})
    assert registry.artifact(run, "drift/report.html") == page
    assert Path(registry.page(run)).is_dir()
    assert Path(registry.page(run, "drift/report.html")).read_bytes() == page


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "a\\..\\b", ""])
def test_an_artifact_cannot_leave_its_run(registry, name):
    run = registry.open_run("flights", KEY, "w")
    with pytest.raises(Refused, match="inside"):
        registry.log(run, artifacts={name: b"x"})
    with pytest.raises(Refused, match="inside"):
        registry.artifact(run, name)


def test_what_does_not_exist_is_said_to_be_so(registry):
    run = registry.open_run("flights", KEY, "w")
    with pytest.raises(NotFound):
        registry.artifact(run, "nothing.html")
    with pytest.raises(NotFound):
        registry.log("0" * 32, metrics={"a": 1.0})
    with pytest.raises(NotFound):
        registry.version("flights", 1)
    with pytest.raises(NotFound):
        registry.load("flights", 1)
    assert registry.versions("flights") == []
    assert registry.alias("flights", "champion") is None
    registry.set_alias("flights", "champion", None)
    made(registry)
    with pytest.raises(NotFound):
        registry.set_alias("flights", "champion", 7)
    with pytest.raises(NotFound):
        registry.describe("flights", 7, "text", {})
    assert registry.alias("flights", "champion") is None


def test_a_version_holds_what_was_given(registry):
    version = made(registry)
    assert (version.pipeline, version.version, version.cycle_key) == ("flights", 1, KEY)
    assert version.run_id == registry.open_run("flights", KEY, "w")
    assert version.tags["ratchet.window"] == "2013-03-05"
    assert version.tags[CYCLE_KEY_TAG] == KEY
    assert version.tags[DIGEST_TAG] == small_bundle.bundle().digest
    assert version.description == "## Hello\n\ntext"
    assert again(registry).version("flights", 1) == version


def test_a_version_is_created_once_a_cycle(registry):
    first = made(registry)
    assert made(registry) == first
    second = made(registry, "flights/10/abc", seed=2)
    assert [v.version for v in registry.versions("flights")] == [1, 2]
    assert second.version == 2
    assert made(again(registry)).version == 1


def test_other_bytes_for_the_same_cycle_are_refused(registry):
    made(registry)
    with pytest.raises(ModelError, match="expected the same bytes"):
        made(registry, seed=2)
    assert len(registry.versions("flights")) == 1


def test_aliases_move_in_one_step_and_can_be_removed(registry):
    made(registry)
    made(registry, "flights/10/abc", seed=2)
    registry.set_alias("flights", "champion", 1)
    registry.set_alias("flights", "challenger", 2)
    assert registry.alias("flights", "champion").version == 1
    registry.set_alias("flights", "champion", 2)
    assert registry.version("flights", 2).aliases == ("challenger", "champion")
    assert [v.aliases for v in registry.versions("flights")] == [(), ("challenger", "champion")]
    registry.set_alias("flights", "challenger", None)
    registry.set_alias("flights", "challenger", None)
    assert registry.alias("flights", "challenger") is None
    assert again(registry).alias("flights", "champion").version == 2


def test_describe_replaces_the_text_and_adds_tags(registry):
    made(registry)
    for _ in range(2):
        registry.describe("flights", 1, "## New\n\nütf-8 | text", {"ratchet.outcome": "promoted"})
    version = registry.version("flights", 1)
    assert version.description == "## New\n\nütf-8 | text"
    assert version.tags["ratchet.outcome"] == "promoted"
    assert version.tags[DIGEST_TAG] == small_bundle.bundle().digest


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_a_loaded_bundle_predicts_the_same(registry, objective):
    bundle = small_bundle.bundle(objective=objective)
    run = registry.open_run("flights", KEY, "w")
    registry.create_version("flights", KEY, run, bundle, {}, "")
    loaded = registry.load("flights", 1)
    assert loaded.files() == bundle.files()
    rows = small_bundle.rows(50, seed=3)
    assert (predict(loaded, rows) == predict(bundle, rows)).all()


@pytest.mark.parametrize("name", ["manifest.json", "model.ubj", "reference.parquet"])
def test_changed_or_missing_files_are_named(registry, name):
    made(registry)
    file = bundle_folder(registry) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(Tampered, match=name):
        registry.load("flights", 1)
    file.unlink()
    with pytest.raises(Tampered, match=name):
        registry.load("flights", 1)
    file.mkdir()
    with pytest.raises(Tampered, match=name):
        registry.load("flights", 1)


def test_a_link_in_place_of_a_file_is_refused(registry, tmp_path):
    made(registry)
    file = bundle_folder(registry) / "reference.parquet"
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Tampered, match="link"):
        registry.load("flights", 1)


def test_pipelines_do_not_see_one_another(registry):
    made(registry)
    run = registry.open_run("taxis", "taxis/1/abc", "w")
    version = registry.create_version("taxis", "taxis/1/abc", run, small_bundle.bundle(2), {}, "")
    assert version.version == 1
    registry.set_alias("taxis", "champion", 1)
    assert registry.alias("flights", "champion") is None
    assert len(registry.versions("flights")) == 1


def test_writers_at_the_same_time_get_different_numbers(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    bundle = small_bundle.bundle()

    def create(i: int) -> int:
        registry = LocalRegistry(tmp_path)
        run = registry.open_run("flights", f"flights/{i}/a", "w")
        return registry.create_version("flights", f"flights/{i}/a", run, bundle, {}, "").version

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(16))) == list(range(1, 17))
    assert len(LocalRegistry(tmp_path).versions("flights")) == 16


def test_a_local_version_without_its_digest_or_with_damaged_json_is_refused(tmp_path):
    registry = LocalRegistry(tmp_path)
    made(registry)
    card = bundle_folder(registry).parent / "version.json"
    card.write_text(card.read_text().replace(DIGEST_TAG, "other"))
    with pytest.raises(Tampered, match="no tag"):
        registry.load("flights", 1)
    card.write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        registry.load("flights", 1)
