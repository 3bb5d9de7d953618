"""Settings come from the environment; secrets are never shown."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet import settings as module
from ratchet.adapters.mlflow_calls import without_user
from ratchet.errors import DefinitionError
from ratchet.settings import (
    Settings,
    mlflow_ui_environment,
    prepare_environment,
    quiet_logs,
    settings,
)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test sees no RATCHET_ variable, and leaves the environment as it was."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("RATCHET_", "PREFECT_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RATCHET_STATE", str(tmp_path / "state"))
    settings.cache_clear()
    yield
    settings.cache_clear()
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_HOME", "/data/project")
    monkeypatch.setenv("RATCHET_ROOT", "s3://bucket/tables/")
    monkeypatch.setenv("RATCHET_S3_ENDPOINT", "http://127.0.0.1:9000")
    monkeypatch.setenv("RATCHET_COLOUR", "red")
    found = settings()
    assert found.pipelines == Path("/data/project/pipelines")
    assert found.root_of("flights") == "s3://bucket/tables/flights"
    assert found.s3_endpoint == "http://127.0.0.1:9000"
    monkeypatch.setenv("RATCHET_HOME", "/elsewhere")
    assert settings() is found


def test_everything_is_below_the_state_unless_it_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    found = settings()
    assert found.tracking_uri == f"sqlite:///{state}/mlflow.db"
    assert found.artifact_root == state / "artifacts"
    assert Settings(mlflow_uri="http://127.0.0.1:5000").tracking_uri == "http://127.0.0.1:5000"


def test_fault_56_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "pl4nted-secret"
    monkeypatch.setenv("RATCHET_S3_ACCESS_KEY", "access")
    monkeypatch.setenv("RATCHET_S3_SECRET_KEY", secret)
    monkeypatch.setenv("RATCHET_MLFLOW_URI", f"postgresql://ratchet:{secret}@127.0.0.1/mlflow")
    found = settings()
    assert found.s3_secret_key and found.s3_secret_key.get_secret_value() == secret
    assert secret in found.tracking_uri
    for shown in (repr(found), str(found), f"{found.s3_secret_key!r}", f"{found!s}"):
        assert secret not in shown


def test_a_wrong_variable_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_LOG_LEVEL", "pl4nted-secret")
    with pytest.raises(DefinitionError, match=r"RATCHET_LOG_LEVEL: .*'DEBUG'") as caught:
        settings()
    assert "pl4nted" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().root = "elsewhere"  # type: ignore[misc]


def test_dependencies_send_no_telemetry_unless_somebody_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    prepare_environment()
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert os.environ["GX_ANALYTICS_ENABLED"] == "true"
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "state" / "prefect")


@pytest.mark.parametrize(("level", "server"), [("ERROR", "CRITICAL"), ("DEBUG", "DEBUG")])
def test_logs_of_the_dependencies_follow_the_level(
    monkeypatch: pytest.MonkeyPatch, level: str, server: str
) -> None:
    monkeypatch.setenv("RATCHET_LOG_LEVEL", level)
    names = ("prefect", "great_expectations", "mlflow", "alembic")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        quiet_logs()
        assert {logging.getLevelName(logging.getLogger(n).level) for n in names} == {level}
    finally:
        for name, old in before.items():
            logging.getLogger(name).setLevel(old)
    assert os.environ["PREFECT_LOGGING_LEVEL"] == level
    assert os.environ["PREFECT_SERVER_LOGGING_LEVEL"] == server


def test_the_ui_is_told_its_database_by_environment() -> None:
    environment = mlflow_ui_environment()
    assert environment["MLFLOW_BACKEND_STORE_URI"] == settings().tracking_uri
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert "MLFLOW_BACKEND_STORE_URI" not in os.environ


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("http://ada:secret@127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://mlflow.example/sub", "https://mlflow.example/sub"),
        ("http://a:b@c@host/x?y=1", "http://host/x?y=1"),
    ],
)
def test_a_link_names_no_user(uri: str, link: str) -> None:
    assert without_user(uri) == link


def test_nothing_else_reads_the_environment() -> None:
    package = Path(module.__file__).parent
    readers = [
        path.relative_to(package).as_posix()
        for folder in (package, package.parent / "tasks")
        for path in folder.rglob("*.py")
        if "os.environ" in path.read_text() or "getenv(" in path.read_text()
    ]
    assert readers == ["settings.py"]
