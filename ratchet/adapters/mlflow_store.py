"""Where MLflow keeps a pipeline's artifacts, and reading them without leaving that place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from ratchet.adapters.bundle_files import MAX_BYTES
from ratchet.adapters.mlflow_calls import Calls
from ratchet.errors import StorageError, Tampered

KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI shows models, not chats


class Store:
    """One experiment a pipeline, with all its artifacts below one location."""

    def __init__(self, client: Any, calls: Calls, tracking_uri: str, artifact_root: Path) -> None:
        self._client, self._calls = client, calls
        self._tracking_uri, self._artifact_root = tracking_uri, artifact_root
        self._experiments: dict[str, Any] = {}

    def experiment(self, pipeline: str) -> Any:
        """The pipeline's experiment, made on demand.

        Raises:
            StorageError: somebody deleted it in MLflow.
        """
        if pipeline not in self._experiments:
            found = self._calls(
                "open the experiment", lambda: self._client.get_experiment_by_name(pipeline)
            ) or self._calls("create the experiment", lambda: self._create(pipeline))
            if found.lifecycle_stage != "active":
                raise StorageError(
                    f"the MLflow experiment {pipeline!r} is {found.lifecycle_stage}; expected it "
                    f"active. Restore it: mlflow experiments restore -x {found.experiment_id}"
                )
            self._experiments[pipeline] = found
        return self._experiments[pipeline]

    def _create(self, pipeline: str) -> Any:
        from mlflow.exceptions import MlflowException

        location = None
        if not self._tracking_uri.startswith("http"):
            folder = self._artifact_root / pipeline
            folder.mkdir(parents=True, exist_ok=True)
            location = folder.as_uri()
        try:
            self._client.create_experiment(pipeline, artifact_location=location, tags=KIND)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was first
                raise
        return self._client.get_experiment_by_name(pipeline)

    @contextmanager
    def folder(self, pipeline: str, source: str, name: str) -> Iterator[Path]:
        """A local directory with the bundle files of a model that lies at ``source``.

        Raises:
            Tampered: ``source`` is not inside the pipeline's artifacts, or a file is too large.
        """
        home = self.experiment(pipeline).artifact_location
        local, root = local_path(source), local_path(home)
        if not _below(source, home):
            raise Tampered(
                f"the model lies at {source!r}; expected it inside {home!r}, where Ratchet puts "
                "this pipeline's models. It is not loaded."
            )
        if local is not None and root is not None:
            folder = (local / name).resolve()
            if not folder.is_relative_to(root.resolve()):
                raise Tampered(f"the model at {source!r} leads outside {home!r}; it is not loaded")
            yield folder
            return
        with TemporaryDirectory(prefix="ratchet-load-") as scratch:
            self._calls("download the model", lambda: self._fetch(source, name, scratch))
            yield Path(scratch) / name

    def _fetch(self, source: str, name: str, scratch: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(source, tracking_uri=self._tracking_uri)
        listed = {Path(f.path).name: f.file_size or 0 for f in repository.list_artifacts(name)}
        for file, cap in MAX_BYTES.items():
            if file not in listed:
                raise Tampered(f"{file}: missing from the stored model at {source!r}")
            if listed[file] > cap:
                raise Tampered(f"{file}: {listed[file]:,} bytes, the cap for it is {cap:,}")
            repository.download_artifacts(f"{name}/{file}", dst_path=scratch)


def local_path(uri: str) -> Path | None:
    """The path that a ``file:`` address (or a plain path) names; None for any other scheme."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    return Path(unquote(parts.path))


def _below(source: str, home: str) -> bool:
    parts = unquote(source).replace("\\", "/").split("/")
    return source.startswith(home.rstrip("/") + "/") and ".." not in parts
