"""The one reader of the environment. Every setting has a safe default for one machine.

>>> Settings().root                                                   # doctest: +SKIP
PosixPath('.ratchet')

Prefix every variable with ``RATCHET_``: ``RATCHET_ROOT=/data/ratchet ratchet status``.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ratchet.errors import DefinitionError

# Read by the dependencies when they are imported; telemetry stays off unless somebody sets it.
_DEPENDENCY_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # Three tries of at most 10 s: MLflow's own defaults keep on for more than 10 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",  # it takes about 20 s, its default
    # Arrow's own pool gives memory back at once and faults it in again: a tenth of a window's CPU.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning OpenMP threads are ruinous on shared cores
}


class Settings(BaseSettings):
    """Where things are on this machine.

    Attributes:
        home: the project directory, which holds ``pipelines/`` and ``expectations/``.
        root: where tables are kept: a directory or ``s3://bucket/prefix``.
        landing: what a relative ``source.landing`` is below of; ``home`` by default. With
            ``s3://`` its first part is the bucket.
        state: a local directory for MLflow's database, artifacts, Prefect's home and locks.
        mlflow_uri: tracking and registry server; empty for SQLite below ``state``. It may hold a
            password, so it is not part of the representation.
        mlflow_ui: where a browser finds MLflow, for links; the server's own address by default.
        s3_endpoint: another S3 server than Amazon's.
        s3_access_key, s3_secret_key: credentials; left out, boto3's own chain finds them.
        record_password: for the sources of record; the definition's ``record.uri`` has none.
        notify_urls: Apprise addresses of who is told, apart by spaces; each holds a secret.
        notify_secret: signs what is posted to a pipeline's webhook: ``whsec_`` and base64.
        log_level: from which level on logs reach the terminal.
        log_format: of Ratchet's own lines: ``text``, or ``json`` with one object a line.
    """

    model_config = SettingsConfigDict(
        env_prefix="RATCHET_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    home: Path = Path()
    root: str = ".ratchet/tables"
    landing: str = ""
    state: Path = Path(".ratchet")
    mlflow_uri: str = Field(default="", repr=False)
    mlflow_ui: str = ""
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    record_password: SecretStr | None = None
    notify_urls: SecretStr | None = None
    notify_secret: SecretStr | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "ERROR"
    log_format: Literal["text", "json"] = "text"

    @property
    def own_log_level(self) -> str:
        """From which level on Ratchet's own lines reach the terminal.

        Where nobody says: in JSON what an operator needs; as text none, because the commands print
        what happened themselves.
        """
        if "log_level" in self.model_fields_set:
            return self.log_level
        return "INFO" if self.log_format == "json" else "CRITICAL"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking and registry address."""
        return self.mlflow_uri or f"sqlite:///{(self.state / 'mlflow.db').resolve()}"

    @property
    def artifact_root(self) -> Path:
        """Where MLflow keeps artifacts when no server does it."""
        return (self.state / "artifacts").resolve()

    @property
    def pipelines(self) -> Path:
        """The directory of pipeline definitions."""
        return self.home / "pipelines"

    def root_of(self, pipeline: str) -> str:
        """Where the tables of one pipeline are."""
        return f"{self.root.rstrip('/')}/{pipeline}"


class StackSettings(BaseSettings):
    """The local stack's places, ``RATCHET_STACK_…`` in the environment.

    Attributes:
        home: the directory of its data, logs and secrets.
        *_port: of each server on 127.0.0.1; ``s3_inner_port`` is the first of nine in a row that
            the S3 server's own parts talk through.
    """

    model_config = SettingsConfigDict(env_prefix="RATCHET_STACK_", extra="ignore", frozen=True)

    home: Path = Path(".ratchet/stack")
    postgres_port: int = Field(default=5460, ge=1024, le=65535)
    s3_port: int = Field(default=8360, ge=1024, le=65535)
    s3_inner_port: int = Field(default=18360, ge=1024, le=65526)
    mlflow_port: int = Field(default=5050, ge=1024, le=65535)
    prefect_port: int = Field(default=4260, ge=1024, le=65535)
    metrics_port: int = Field(default=9464, ge=1024, le=65535)


def plain_environment() -> dict[str, str]:
    """What a child process needs of this one's environment, and no secret of it."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV", "PYTHONPATH")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return {**_DEPENDENCY_DEFAULTS, **found}


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        DefinitionError: a variable is wrong; its value is not repeated, as it may be a secret.
    """
    try:
        # A file each, named like the variable, as Docker and Kubernetes mount secrets.
        folder = os.environ.get("RATCHET_SECRETS_DIR")
        return Settings(_secrets_dir=folder)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [f"RATCHET_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise DefinitionError("\n  ".join(["environment:", *lines])) from None


def prepare_environment() -> None:
    """Set the defaults that the dependencies read at import; call it before importing them."""
    for name, value in _DEPENDENCY_DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str((settings().state / "prefect").resolve()))


def quiet_logs() -> None:
    """Keep the dependencies' own logs below ``RATCHET_LOG_LEVEL`` off the terminal.

    Prefect reads its part when it is imported, and sets up Python's logging then.
    """
    level = settings().log_level
    (settings().state / "prefect").mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", level)
    os.environ.setdefault("PREFECT_LOGGING_ROOT_LEVEL", level)
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL" if level == "ERROR" else level)
    for name in ("prefect", "great_expectations", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(level)
    for name in ("urllib3", "httpx", "httpcore"):  # they would log whole addresses
        logging.getLogger(name).setLevel("WARNING")


def mlflow_ui_environment() -> dict[str, str]:
    """The environment of a local MLflow server: no telemetry, no job workers.

    It names the database, because every user of a machine sees the arguments of a process.
    """
    prepare_environment()
    return {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": settings().tracking_uri,
    }
