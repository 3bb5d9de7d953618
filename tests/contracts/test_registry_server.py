"""The MLflow registry against a real tracking server that keeps the artifacts itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.adapters import mlflow_store
from ratchet.adapters.mlflow_registry import MlflowRegistry
from ratchet.errors import NotFound, Tampered
from tests import small_bundle
from tests.faults.test_registry import one_cycle
from tests.mlflow_database import fresh_mlflow

pytestmark = pytest.mark.slow
OFF = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("server")
    fresh_mlflow(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"),
        *("--artifacts-destination", (folder / "kept").as_uri()),
        *("--allowed-hosts", f"127.0.0.1:{port}"),
    ]
    env = {**os.environ, **OFF, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process, folder / "log")
        yield url, folder / "kept"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()  # noqa: S310 - our own
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.25)
    raise AssertionError(log.read_text())


def test_a_cycle_over_http_is_idempotent_and_its_model_is_checked(server, tmp_path, monkeypatch):
    url, kept = server
    registry = MlflowRegistry(url, tmp_path, url)
    assert one_cycle(registry, "flights/1/a") == 1
    assert one_cycle(MlflowRegistry(url, tmp_path), "flights/1/a") == 1
    (version,) = registry.versions("flights")
    assert version.aliases == ("champion",)
    assert registry.artifact(version.run_id, "a.html") == b"a"
    with pytest.raises(NotFound):
        registry.artifact(version.run_id, "none.html")
    assert registry.page(version.run_id).startswith(f"{url}/#/experiments/")
    there = registry.page(version.run_id, "drift/my report.html")
    assert f"/runs/{version.run_id}/artifacts/drift/my%20report.html?" in there
    bare = MlflowRegistry(url, tmp_path)
    assert bare.page(version.run_id).startswith("mlflow-artifacts:/")
    assert bare.page(version.run_id, "a.html") == f"{bare.page(version.run_id)}/a.html"
    assert registry.load("flights", 1).files() == small_bundle.bundle().files()

    with monkeypatch.context() as patch:
        patch.setitem(mlflow_store.MAX_BYTES, "model.ubj", 10)
        with pytest.raises(Tampered, match="the cap for it is 10"):
            registry.load("flights", 1)
    (stored,) = kept.rglob("model.ubj")
    content = bytearray(stored.read_bytes())
    content[50] ^= 1
    stored.write_bytes(content)
    with pytest.raises(Tampered, match=r"model\.ubj: digest"):
        registry.load("flights", 1)
    stored.unlink()
    with pytest.raises(Tampered, match=r"model\.ubj: missing"):
        registry.load("flights", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_experiment_is_named_with_the_way_back(tmp_path):
    from ratchet.errors import StorageError

    registry = fresh_mlflow(tmp_path)
    one_cycle(registry, "flights/1/a")
    found = registry.client.get_experiment_by_name("flights")
    registry.client.delete_experiment(found.experiment_id)
    with pytest.raises(StorageError, match="mlflow experiments restore -x 1"):
        MlflowRegistry(registry.tracking_uri, tmp_path).open_run("flights", "flights/2/a", "x")
