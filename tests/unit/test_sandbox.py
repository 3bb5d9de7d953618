"""A model's first prediction in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import replace

import pyarrow as pa
import pytest

from ratchet.adapters import sandbox
from ratchet.adapters.bundle_files import write_bundle_files
from ratchet.contracts.bundle import MODEL, pack
from ratchet.contracts.score import predict
from ratchet.errors import ModelError
from tests import small_bundle

ROWS = small_bundle.rows(30, seed=5)


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_the_child_gives_exactly_the_parents_scores(objective):
    bundle = small_bundle.bundle(objective=objective)
    scores = sandbox.predict_in_child(bundle, ROWS)
    assert scores.shape == predict(bundle, ROWS).shape
    assert (scores == predict(bundle, ROWS)).all()


def test_main_writes_scores_and_their_shape(tmp_path, capsys):
    bundle = small_bundle.bundle()
    write_bundle_files(tmp_path, bundle.files())
    path = str(tmp_path / sandbox.ROWS)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, ROWS.schema) as out:
        out.write_table(ROWS)
    sandbox.main(tmp_path)
    found = sandbox._scores(tmp_path, capsys.readouterr().out, 30)
    assert (found == predict(bundle, ROWS)).all()


def test_bytes_that_are_no_model_are_refused_in_one_line():
    good = small_bundle.bundle()
    bad = pack(good.manifest, {MODEL: b"{not a model"}, good.reference)
    with pytest.raises(ModelError, match=r"model\.ubj: XGBoost cannot read it") as caught:
        sandbox.predict_in_child(bad, ROWS)
    assert "\n" not in str(caught.value)


def test_files_that_do_not_fit_the_manifest_are_refused():
    with pytest.raises(ModelError, match=r"model\.ubj: digest"):
        sandbox.predict_in_child(replace(small_bundle.bundle(), models={MODEL: b"other"}), ROWS)


def child(monkeypatch, tmp_path, code: str) -> None:
    """Let the child run this code instead."""
    script = tmp_path / "child"
    script.write_text(f"#!{sys.executable}\nimport os, sys, time\n{code}\n")
    script.chmod(0o700)
    monkeypatch.setattr(sandbox.sys, "executable", str(script))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.kill(os.getpid(), 11)", "killed its process \\(SIGSEGV\\)"),
        ("time.sleep(60)", "no scores within 0.5 s"),
        ("sys.exit('went wrong')", "failed in its own process: went wrong"),
        ("sys.exit(3)", "no message"),
        ("pass", "gave no scores"),
        ("print('{\"shape\": [30]}')", "gave no scores"),
        ("open('scores.bin', 'wb').write(bytes(16)); print('{\"shape\": [2]}')", "for 30 rows"),
        ("open('scores.bin', 'wb').write(bytes(9)); print('{\"shape\": [30]}')", "gave no scores"),
    ],
)
def test_whatever_happens_to_the_child_is_one_clear_error(monkeypatch, tmp_path, code, said):
    child(monkeypatch, tmp_path, code)
    with pytest.raises(ModelError, match=said):
        timeout = 0.5 if "sleep" in code else 30
        sandbox.predict_in_child(small_bundle.bundle(), ROWS, timeout=timeout)


def test_the_child_sees_no_secret_of_this_process(monkeypatch, tmp_path):
    monkeypatch.setenv("RATCHET_S3_SECRET_KEY", "planted")
    child(monkeypatch, tmp_path, "sys.exit(' '.join(os.environ))")
    with pytest.raises(ModelError, match="own process") as caught:
        sandbox.predict_in_child(small_bundle.bundle(), ROWS)
    assert "RATCHET" not in str(caught.value)


def test_limits_that_the_system_lacks_are_passed_over(monkeypatch):
    asked = []

    class Resource:
        RLIMIT_CPU = 0

        @staticmethod
        def setrlimit(name, value):
            asked.append(value)
            raise ValueError

    monkeypatch.setattr(sandbox, "resource", Resource)
    sandbox.limit_resources()
    assert asked == [(60, 60)]
