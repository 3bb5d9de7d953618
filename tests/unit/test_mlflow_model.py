"""The stored model as MLflow itself loads and serves it."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.adapters import bundle_files, mlflow_calls, mlflow_model, pyfunc_loader
from ratchet.adapters.bundle_files import inside, write_bundle_files
from ratchet.adapters.mlflow_versions import clipped
from ratchet.contracts.bundle import MODEL
from ratchet.contracts.score import predict
from ratchet.errors import ModelError, Refused, StorageError, Tampered
from tests import small_bundle

IDENTITY = {"model_id": "m-1", "run_id": "0" * 32, "utc_time_created": "2013-03-12 00:00:00.0"}


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_mlflow_serves_the_layout_from_code(tmp_path, objective, monkeypatch):
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    bundle = small_bundle.bundle(objective=objective)
    mlflow_model.lay_out(tmp_path, bundle, IDENTITY)
    model = mlflow.pyfunc.load_model(str(tmp_path))
    rows = small_bundle.rows(20, seed=4)
    scores = model.predict(rows.to_pandas())
    assert np.array_equal(scores, predict(bundle, rows))
    inputs = {spec.name: spec.type.name for spec in model.metadata.signature.inputs}
    assert inputs == {"carrier": "string", "hour": "double", "distance": "double"}
    assert model.metadata.metadata["bundle_digest"] == bundle.digest


def test_columns_are_taken_by_name_and_missing_ones_named(tmp_path):
    write_bundle_files(tmp_path, small_bundle.bundle().files())
    scorer = pyfunc_loader._load_pyfunc(str(tmp_path))
    frame = small_bundle.rows(5).to_pandas()
    shuffled = frame[["distance", "carrier", "hour"]].assign(extra=1)
    assert np.array_equal(scorer.predict(frame), scorer.predict(shuffled))
    with pytest.raises(ModelError, match="hour"):
        scorer.predict(frame.drop(columns="hour"))


def test_the_loader_refuses_bytes_that_do_not_fit_their_manifest(tmp_path):
    write_bundle_files(tmp_path, small_bundle.bundle().files())
    (tmp_path / "model.ubj").write_bytes(small_bundle.bundle(2).models[MODEL])
    with pytest.raises(Tampered, match=r"model\.ubj"):
        pyfunc_loader._load_pyfunc(str(tmp_path))


def test_a_file_over_its_cap_is_refused(tmp_path, monkeypatch):
    write_bundle_files(tmp_path, small_bundle.bundle().files())
    monkeypatch.setitem(bundle_files.MAX_BYTES, "model.ubj", 10)
    with pytest.raises(Tampered, match="larger than 10 bytes"):
        pyfunc_loader._load_pyfunc(str(tmp_path))


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_bundle_files(tmp_path / "file" / "x", {"a": b""})


def test_a_path_that_leaves_through_a_link_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(Refused, match="inside"):
        inside(tmp_path / "in", "link/x")


def test_a_requirement_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(mlflow_model, "_REQUIRED", ("xgboost", "not-installed-anywhere"))
    lines = mlflow_model.requirements()
    assert lines[0].startswith("xgboost==")
    assert lines[1] == "not-installed-anywhere"


def test_a_long_description_is_cut_at_a_line_and_says_so():
    text = "\n".join(f"line {i}" for i in range(2000))
    cut = clipped(text)
    assert len(cut) <= 5000
    assert "cut here" in cut.splitlines()[-1]
    assert clipped("short") == "short"


def test_every_form_of_a_secret_is_masked():
    uri = "postgresql+psycopg2://me:p%40ss@host/db?token=t0ken"
    text = f"{uri} p@ss p%40ss t0ken host"
    assert mlflow_calls.masked(text, uri) == (
        "postgresql+psycopg2://***@host/db?token=*** *** *** *** host"
    )
    assert mlflow_calls.masked("x", "sqlite:////a/b.db") == "x"
