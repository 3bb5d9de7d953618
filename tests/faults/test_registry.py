"""Faults of the registry and of stored models; numbers as in the project's list of faults."""

from __future__ import annotations

import logging
import sqlite3
import time
import traceback
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ratchet.adapters import bundle_files, local_registry
from ratchet.adapters.local_registry import LocalRegistry
from ratchet.adapters.mlflow_registry import MlflowRegistry, open_registry
from ratchet.adapters.sandbox import predict_in_child
from ratchet.contracts.bundle import MODEL, pack
from ratchet.contracts.score import predict
from ratchet.contracts.seams import CYCLE_KEY_TAG, DIGEST_TAG, Registry
from ratchet.errors import ModelError, StorageError, Tampered
from ratchet.register import Entry, SetAlias, recover, unfinished
from ratchet.settings import Settings
from tests import small_bundle
from tests.faulty_proxy import FaultyProxy, Reset, Says
from tests.mlflow_database import fresh_mlflow
from tests.unit.test_register import decision

SECRET = "p@ss/w0rd-planted"
WRITES = ("create", "log", "update", "set", "delete", "finalize")


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the product may catch it."""


class DyingClient:
    """MLflow's client, which dies right after its n-th writing call."""

    def __init__(self, client, after: int) -> None:
        self._client, self._left = client, after

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if not name.startswith(WRITES):
            return found

        def call(*args, **kwargs):
            result = found(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                raise Killed(name)
            return result

        return call


def one_cycle(registry: Registry, key: str, seed: int = 1) -> int:
    """All that a promotion does to the registry."""
    run = registry.open_run("flights", key, key)
    registry.log(run, step=1, metrics={"auc": 0.7}, artifacts={"a.html": b"a"})
    version = registry.create_version(
        "flights", key, run, small_bundle.bundle(seed), {"a": "b"}, "text"
    )
    registry.describe("flights", version.version, "better text", {"outcome": "promoted"})
    registry.set_alias("flights", "champion", version.version)
    registry.close_run(run)
    return version.version


@pytest.mark.slow
def test_fault_22_killed_after_each_side_effect_mlflow(tmp_path):
    plain = fresh_mlflow(tmp_path)
    experiment = None
    for n in range(1, 40):
        key = f"flights/{n}/abc"
        dying = MlflowRegistry(
            plain.tracking_uri, plain.artifact_root, client=DyingClient(plain.client, n)
        )
        try:
            one_cycle(dying, key)
            break
        except Killed:
            pass
        before = plain.alias("flights", "champion")
        assert before is None or before.version in (n - 1, n)
        rerun = MlflowRegistry(plain.tracking_uri, plain.artifact_root, client=plain.client)
        assert one_cycle(rerun, key) == n
        experiment = plain.client.get_experiment_by_name("flights").experiment_id
        assert_once(plain.client, experiment, key)
    assert n > 10, "the kill points were not reached"
    assert [v.version for v in plain.versions("flights")] == list(range(1, n + 1))
    assert plain.alias("flights", "champion").version == n


def assert_once(client, experiment: str, key: str) -> None:
    """One run, one stored model, one link between them, one version."""
    tag = f"tags.`{CYCLE_KEY_TAG}` = '{key}'"
    (run,) = client.search_runs([experiment], tag)
    (model,) = client.search_logged_models([experiment], tag)
    assert [o.model_id for o in run.outputs.model_outputs] == [model.model_id]
    assert len(client.search_model_versions(f"name = 'flights' and {tag}")) == 1
    assert run.info.status == "FINISHED"
    assert model.status == "READY"


@pytest.mark.parametrize("point", ["fsync", "rename"])
def test_fault_22_killed_after_each_side_effect_local(tmp_path, monkeypatch, point):
    plain = LocalRegistry(tmp_path)
    owner, name = (bundle_files.os, "fsync") if point == "fsync" else (Path, "replace")
    real = getattr(owner, name)
    for n in range(1, 60):
        left = [n]

        def dying(*args, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, dying)
            patch.setattr(local_registry.shutil, "rmtree", lambda *a, **k: None)
            try:
                one_cycle(plain, f"flights/{n}/abc")
                break
            except Killed:
                pass
        assert one_cycle(LocalRegistry(tmp_path), f"flights/{n}/abc") == n
    assert n > 5
    assert [v.cycle_key for v in plain.versions("flights")] == [
        f"flights/{i}/abc" for i in range(1, n + 1)
    ]


@pytest.fixture(params=["local", "mlflow"])
def registry(request, tmp_path) -> Registry:
    if request.param == "local":
        return LocalRegistry(tmp_path / "registry")
    return fresh_mlflow(tmp_path)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("crash", [1, 2, 3])
def test_fault_23_killed_between_register_and_alias(registry, crash, damaged):
    """Crash after the intent, after the alias, or in the middle of the recovery."""
    for seed in (1, 2):
        key = f"flights/{seed}/e"
        run = registry.open_run("flights", key, key)
        registry.create_version("flights", key, run, small_bundle.bundle(seed), {}, "")
    registry.set_alias("flights", "champion", 1)
    made = decision(cycle_key="flights/2/e", champion_before=1, champion_after=2)
    entries = [Entry(made.cycle_key, "cycle", "intent", made, "run", datetime.now(UTC))]
    if crash > 1:
        registry.set_alias("flights", "champion", 2)
    if damaged:
        break_version(registry, 2)
    for cut in (1, None) if crash == 3 else (None,):
        plan = recover(entries, registry.alias("flights", "champion").version, proven(registry))
        for action in plan[:cut]:
            if isinstance(action, SetAlias):
                registry.set_alias("flights", "champion", action.version)
            else:
                final = action.decision
                entries.append(replace(entries[0], phase="done", decision=final))
        assert registry.alias("flights", "champion").version in (1, 2)
    assert registry.alias("flights", "champion").version == (1 if damaged else 2)
    assert unfinished(entries) == []
    assert entries[-1].decision.outcome == ("error" if damaged else "promoted")


def proven(registry: Registry) -> set[int]:
    try:
        registry.load("flights", 2)
    except ModelError:
        return set()
    return {2}


def break_version(registry: Registry, version: int) -> None:
    file = model_folder(registry, version) / "bundle" / MODEL
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


def model_folder(registry: Registry, version: int) -> Path:
    if isinstance(registry, LocalRegistry):
        return registry.directory / "models" / "flights" / "versions" / str(version)
    assert isinstance(registry, MlflowRegistry)
    found = registry.client.get_model_version("flights", str(version))
    return Path(found.source.removeprefix("file://"))


def test_fault_22_files_lost_with_the_power_are_written_again(tmp_path):
    registry = fresh_mlflow(tmp_path)
    one_cycle(registry, "flights/1/a")
    (model_folder(registry, 1) / "bundle" / MODEL).write_bytes(b"")
    with pytest.raises(Tampered):
        registry.load("flights", 1)
    assert one_cycle(registry, "flights/1/a") == 1
    assert registry.load("flights", 1).files() == small_bundle.bundle().files()


def test_fault_27_locked_mlflow_database(tmp_path, caplog):
    registry = fresh_mlflow(tmp_path, patience=0.5)
    one_cycle(registry, "flights/1/a")
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for action in (
            lambda: registry.open_run("flights", "flights/2/a", "x"),
            lambda: registry.alias("flights", "champion"),
            lambda: registry.set_alias("flights", "champion", 1),
            lambda: fresh(registry).versions("flights"),
        ):
            started = time.monotonic()
            with pytest.raises(StorageError, match=r"locked for more than 0\.5 s.*run this again"):
                action()
            assert time.monotonic() - started < 5
        other.execute("ROLLBACK")
    assert one_cycle(registry, "flights/2/a", seed=2) == 2
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def fresh(registry: MlflowRegistry) -> MlflowRegistry:
    return MlflowRegistry(registry.tracking_uri, registry.artifact_root, patience=0.5)


def test_fault_27_a_lock_that_is_given_back_in_time_is_waited_for(tmp_path):
    import threading

    registry = fresh_mlflow(tmp_path)
    one_cycle(registry, "flights/1/a")
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(0.5, lambda: other.execute("ROLLBACK"))
    timer.start()
    assert one_cycle(registry, "flights/2/a", seed=2) == 2
    timer.join()
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Says(503, "down"), "Check that the MLflow server is up"),
        (Reset(), "Check that the MLflow server is up"),
        (Says(401, "who?"), "Correct MLFLOW_TRACKING_USERNAME"),
    ],
    ids=str,
)
def test_fault_27_an_mlflow_server_that_fails_is_tried_a_few_times(
    fault, said, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    with FaultyProxy("http://127.0.0.1:1") as proxy:
        armed = proxy.fail(".*", fault)
        registry = MlflowRegistry(proxy.endpoint, tmp_path, patience=0.3)
        started = time.monotonic()
        with pytest.raises(StorageError, match=said):
            registry.open_run("flights", "flights/1/a", "a run")
        assert 1 <= armed.hits <= 3
        assert time.monotonic() - started < 45


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+psycopg2://ratchet:{secret}@127.0.0.1:1/mlflow",
        "http://ratchet:{secret}@127.0.0.1:1",
        "nonsense://ratchet:{secret}@127.0.0.1:1/x",
        "sqlite:///{folder}/file/mlflow.db?password={secret}",
    ],
)
def test_fault_56_a_secret_in_the_tracking_address_is_never_shown(
    uri, tmp_path, caplog, capfd, monkeypatch
):
    """Also fault 27: a server that is down ends in one clear error, soon."""
    from urllib.parse import quote

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "file").write_text("not a directory")
    address = uri.format(secret=quote(SECRET, safe=""), folder=tmp_path)
    registry = MlflowRegistry(address, tmp_path, patience=0.3)
    started = time.monotonic()
    with caplog.at_level(logging.DEBUG), pytest.raises(StorageError) as caught:
        registry.open_run("flights", "flights/1/a", "x")
    assert time.monotonic() - started < 30
    captured = capfd.readouterr()
    shown = "".join(traceback.format_exception(caught.value))
    for text in (shown, caplog.text, captured.out, captured.err):
        assert SECRET not in text
        assert quote(SECRET, safe="") not in text


def test_fault_56_tags_and_files_hold_no_tracking_address(tmp_path):
    registry = fresh_mlflow(tmp_path)
    registry.calls.uri += f"?token={SECRET}"
    one_cycle(registry, "flights/1/a")
    version = registry.version("flights", 1)
    assert SECRET not in str(version)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_fault_39_a_flipped_bit_is_refused_by_its_digest(registry):
    one_cycle(registry, "flights/1/a")
    break_version(registry, 1)
    with pytest.raises(Tampered, match=r"model\.ubj: digest"):
        registry.load("flights", 1)


@pytest.mark.slow
def test_fault_39_a_crafted_model_with_a_fitting_digest_cannot_kill_the_caller():
    """The attacker signs anew: digests fit, so only the child process finds out."""
    good = small_bundle.bundle()
    rows = small_bundle.rows(40)
    rng = np.random.default_rng(0)
    ends: set[str] = set()
    for _ in range(60):
        if {"killed", "refused"} <= ends:
            break
        raw = bytearray(good.models[MODEL])
        raw[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
        crafted = pack(good.manifest, {MODEL: bytes(raw)}, good.reference)
        try:
            scores = predict_in_child(crafted, rows)
            ends.add("same" if (scores == predict(good, rows)).all() else "differs")
        except ModelError as error:
            ends.add("killed" if "SIG" in str(error) else "refused")
    assert "killed" in ends, "no flip killed its process: the sandbox was not put to the test"
    assert "refused" in ends


def test_fault_40_41_42_nothing_but_the_three_files_is_looked_at(registry):
    one_cycle(registry, "flights/1/a")
    folder = model_folder(registry, 1)
    canary = folder / "ran"
    code = f"open({str(canary)!r}, 'w').close()\n"
    (folder / "code").mkdir()
    for path in ("code/evil.py", "bundle/numpy.py", "bundle/sitecustomize.py", "bundle/x.pkl"):
        (folder / path).write_text(code)
    card = '{"flavors": {"python_function": {"loader_module": "evil", "code": "code"}}}'
    (folder / "MLmodel").write_text(card)
    loaded = registry.load("flights", 1)
    assert loaded.files() == small_bundle.bundle().files()
    assert len(predict_in_child(loaded, small_bundle.rows(3))) == 3
    assert not canary.exists()


@pytest.mark.parametrize(
    "source", ["{root}/../outside", "{root}/link", "/etc", "file:///etc", "s3://other/model"]
)
def test_fault_43_a_version_that_points_outside_is_refused(tmp_path, source):
    registry = fresh_mlflow(tmp_path)
    one_cycle(registry, "flights/1/a")
    outside = registry.artifact_root / "outside"
    bundle_files.write_bundle_files(outside / "bundle", small_bundle.bundle().files())
    root = registry.artifact_root / "flights"
    (root / "link").symlink_to(outside)
    pointed = source.format(root=root.as_uri())
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("UPDATE model_versions SET source = ?", (pointed,))
        database.commit()
    with pytest.raises(Tampered, match="not loaded"):
        fresh(registry).load("flights", 1)


def test_fault_44_the_bytes_of_another_version_are_refused(registry):
    one_cycle(registry, "flights/1/a")
    one_cycle(registry, "flights/2/a", seed=2)
    for name, content in small_bundle.bundle(1).files().items():
        (model_folder(registry, 2) / "bundle" / name).write_bytes(content)
    with pytest.raises(Tampered, match=r"manifest\.json: digest"):
        registry.load("flights", 2)


def test_fault_45_a_version_that_ratchet_did_not_register_is_not_loaded(tmp_path):
    registry = fresh_mlflow(tmp_path)
    one_cycle(registry, "flights/1/a")
    registry.client.delete_model_version_tag("flights", "1", DIGEST_TAG)
    with pytest.raises(Tampered, match="not registered by Ratchet"):
        registry.load("flights", 1)


def test_fault_24_a_registry_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    local = LocalRegistry(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot be written"):
        local.open_run("flights", "flights/1/a", "x")
    blocked = MlflowRegistry(fresh_mlflow(tmp_path).tracking_uri, tmp_path / "file" / "art")
    with pytest.raises(StorageError, match="create the experiment"):
        blocked.open_run("flights", "flights/1/a", "x")


def test_open_registry_takes_its_places_from_the_settings(tmp_path):
    found = open_registry(Settings(state=tmp_path))
    assert found.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert found.artifact_root == tmp_path / "artifacts"
    assert found.ui_url is None
    server = open_registry(Settings(state=tmp_path, mlflow_uri="http://127.0.0.1:5000"))
    assert server.ui_url == "http://127.0.0.1:5000"
