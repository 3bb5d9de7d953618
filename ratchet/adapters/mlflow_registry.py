"""Runs, reports and model versions in MLflow.

>>> registry = open_registry(settings())                              # doctest: +SKIP
>>> registry.alias("flights", "champion").version                     # doctest: +SKIP
7

Its promise: every write may be repeated after a kill at any line and gives one run, one model and
one version a cycle; no model byte is parsed before its digest was checked; no wait is endless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ratchet.adapters.mlflow_calls import PATIENCE_SECONDS, Calls, quiet, without_user
from ratchet.adapters.mlflow_runs import Runs
from ratchet.adapters.mlflow_store import Store
from ratchet.adapters.mlflow_versions import Versions
from ratchet.contracts.bundle import Bundle
from ratchet.contracts.seams import ModelVersion
from ratchet.settings import Settings, prepare_environment


def open_registry(settings: Settings, ui_url: str | None = None) -> MlflowRegistry:
    """The registry that the settings name; directories are made, MLflow is not imported yet.

    Args:
        settings: where the tracking server or database is, and where artifacts are kept.
        ui_url: address of the MLflow UI, for links; by default what the settings say, else the
            tracking server's own address.

    Raises:
        StorageError: the directory of the artifacts cannot be made.
    """
    uri = settings.tracking_uri
    ui_url = ui_url or settings.mlflow_ui or None
    if ui_url is None and uri.startswith(("http://", "https://")):
        ui_url = without_user(uri)
    return MlflowRegistry(uri, settings.artifact_root, ui_url)


class MlflowRegistry:
    """Implements :class:`ratchet.contracts.seams.Registry` on an MLflow server or database.

    Attributes:
        tracking_uri: ``sqlite:///…``, ``postgresql+psycopg2://…`` or ``http(s)://…``.
        artifact_root: where artifacts are kept unless a tracking server keeps them.
        ui_url: address of MLflow's UI, for links, or None.
        patience: seconds to wait for a locked database before giving up.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_root: Path,
        ui_url: str | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        client: Any = None,
    ) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root.resolve()
        self.ui_url = ui_url
        self.calls = Calls(tracking_uri, patience)
        self._given_client = client

    @cached_property
    def client(self) -> Any:
        """MLflow's client; the first use of a new SQLite database creates it (about 4 s)."""
        if self._given_client is not None:
            return self._given_client
        prepare_environment()
        from mlflow import MlflowClient

        quiet()
        self.calls.reach()
        return self.calls("open the tracking store", lambda: MlflowClient(self.tracking_uri))

    @cached_property
    def _runs(self) -> Runs:
        return Runs(self.client, self.calls, self._store, self.ui_url)

    @cached_property
    def _versions(self) -> Versions:
        return Versions(self.client, self.calls, self._store, self._runs)

    @cached_property
    def _store(self) -> Store:
        return Store(self.client, self.calls, self.tracking_uri, self.artifact_root)

    def open_run(self, pipeline: str, cycle_key: str, name: str) -> str:
        """The id of the run of this cycle: a new one, or the one that an earlier attempt opened.

        Raises:
            StorageError: MLflow is locked, down, or the experiment was deleted there.
        """
        return self._runs.open(pipeline, cycle_key, name)

    def log(
        self,
        run_id: str,
        *,
        step: int = 0,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
        datasets: Sequence[tuple[str, str, str, str]] = (),
    ) -> None:
        """Record on a run. Keys of ``artifacts`` are paths; ``datasets`` are
        (name, digest, source uri, context). Repeating it changes nothing.

        A parameter cannot change in MLflow: a different value goes to the tag ``param.<name>``.

        Raises:
            Refused: an artifact's path leaves the run.
            StorageError: MLflow is locked or down, or the disk is full.
        """
        self._runs.values(run_id, step, metrics or {}, params or {}, tags or {})
        if artifacts:
            self._runs.artifacts(run_id, artifacts)
        if datasets:
            self._runs.datasets(run_id, datasets)

    def chart(self, pipeline: str, step: int, at: int, metrics: Mapping[str, float]) -> None:
        """Add one window to the curves of the run ``<pipeline> over windows``; see the seam.

        Raises:
            StorageError: MLflow is locked or down.
        """
        self._runs.chart(pipeline, step, at, metrics)

    def close_run(self, run_id: str, ok: bool = True) -> None:
        """Mark the run finished or failed."""
        self._runs.close(run_id, "FINISHED" if ok else "FAILED")

    def create_version(
        self,
        pipeline: str,
        cycle_key: str,
        run_id: str,
        bundle: Bundle,
        tags: Mapping[str, str],
        description: str,
    ) -> ModelVersion:
        """Store the bundle and register it; an earlier attempt's version is reused.

        Files that an earlier attempt left incomplete are written again. A description over 5,000
        characters (the width of MLflow's column) is cut at a line.

        Raises:
            ModelError: an earlier attempt registered other bytes for this cycle.
            StorageError: MLflow is locked or down, or the disk is full.
        """
        return self._versions.create(pipeline, cycle_key, run_id, bundle, tags, description)

    def describe(
        self, pipeline: str, version: int, description: str, tags: Mapping[str, str]
    ) -> None:
        """Replace the version's description (Markdown) and set tags.

        Raises:
            NotFound: no such version.
        """
        self._versions.describe(pipeline, version, description, tags)

    def versions(self, pipeline: str) -> list[ModelVersion]:
        """Every version, oldest first."""
        return self._versions.every(pipeline)

    def version(self, pipeline: str, version: int) -> ModelVersion:
        """One version.

        Raises:
            NotFound: there is none of that number.
        """
        return self._versions.version(pipeline, version)

    def alias(self, pipeline: str, alias: str) -> ModelVersion | None:
        """The version behind an alias, or None."""
        return self._versions.alias(pipeline, alias)

    def set_alias(self, pipeline: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, in one atomic step; None removes it.

        Raises:
            NotFound: no such version.
        """
        self._versions.set_alias(pipeline, alias, version)

    def load(self, pipeline: str, version: int) -> Bundle:
        """Download the bundle of a version and verify its digests before anything parses it.

        Only the three files of a bundle are read, from inside the pipeline's own artifacts.

        Raises:
            NotFound: no such version.
            Tampered: manifest or model bytes differ from what the version's tags recorded, or the
                version points outside the pipeline's artifacts.
        """
        return self._versions.load(pipeline, version)

    def page(self, run_id: str, artifact: str = "") -> str:
        """Where a person finds this run, or one artifact of it: an address when a UI is known, else
        a path."""
        return self._runs.page(run_id, artifact)

    def artifact(self, run_id: str, path: str) -> bytes:
        """The bytes of one artifact of a run.

        Raises:
            NotFound: no such run or artifact.
            Refused: the path leaves the run.
        """
        return self._runs.artifact(run_id, path)
