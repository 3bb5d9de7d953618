"""Model versions and aliases in MLflow: created once a cycle, loaded only with a fitting digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ratchet.adapters.bundle_files import read_bundle_files
from ratchet.adapters.mlflow_calls import Calls
from ratchet.adapters.mlflow_model import DATA, lay_out
from ratchet.adapters.mlflow_runs import Runs
from ratchet.adapters.mlflow_store import Store
from ratchet.contracts.bundle import Bundle, unpack
from ratchet.contracts.seams import CYCLE_KEY_TAG, DIGEST_TAG, ModelVersion
from ratchet.errors import ModelError, NotFound, Tampered

DESCRIPTION_LIMIT = 5000  # the column's width in MLflow's database


class Versions:
    """What :class:`ratchet.adapters.mlflow_registry.MlflowRegistry` does to model versions."""

    def __init__(self, client: Any, calls: Calls, store: Store, runs: Runs) -> None:
        self.client, self.calls = client, calls
        self._store, self._runs = store, runs
        self._registered: set[str] = set()

    def create(
        self,
        pipeline: str,
        cycle_key: str,
        run_id: str,
        bundle: Bundle,
        tags: Mapping[str, str],
        description: str,
    ) -> ModelVersion:
        """Store the bundle and register it; an earlier attempt's version is reused.

        Files that an earlier attempt left incomplete are written again.

        Raises:
            ModelError: an earlier attempt registered other bytes for this cycle.
            StorageError: MLflow is locked or down, or the disk is full.
        """
        if (made := self._version_of(pipeline, cycle_key)) is not None:
            return self._reuse(made, bundle)
        location, model_id = self._store_model(pipeline, cycle_key, run_id, bundle)
        self._register_name(pipeline)
        all_tags = {**tags, CYCLE_KEY_TAG: cycle_key, DIGEST_TAG: bundle.digest}
        created = self.calls(
            "register the model version",
            lambda: self.client.create_model_version(
                pipeline,
                location,
                run_id=run_id,
                tags=all_tags,
                description=clipped(description),
                model_id=model_id,
            ),
        )
        return self.version(pipeline, int(created.version))

    def _version_of(self, pipeline: str, cycle_key: str) -> ModelVersion | None:
        wanted = f"name = '{pipeline}' and tags.`{CYCLE_KEY_TAG}` = '{cycle_key}'"
        found = self.calls(
            "look for the cycle's model version",
            lambda: self.client.search_model_versions(wanted),
        )
        numbers = sorted(int(v.version) for v in found)
        return self.version(pipeline, numbers[0]) if numbers else None

    def _reuse(self, made: ModelVersion, bundle: Bundle) -> ModelVersion:
        recorded = made.tags.get(DIGEST_TAG, "")
        if recorded != bundle.digest:
            raise ModelError(
                f"{made.pipeline} version {made.version} holds digest {recorded[:12]} for cycle "
                f"{made.cycle_key}, this attempt made {bundle.digest[:12]}; expected the same "
                "bytes. A cycle's model never changes: see 'ratchet verify'."
            )
        try:
            self.load(made.pipeline, made.version)
        except Tampered:
            # Power was lost before the files reached the disk. These bytes have the same digest.
            self._store_model(made.pipeline, made.cycle_key, made.run_id, bundle)
        return made

    def _store_model(
        self, pipeline: str, cycle_key: str, run_id: str, bundle: Bundle
    ) -> tuple[str, str]:
        name = f"{pipeline}-{bundle.manifest.lineage.window}"
        model = self._runs.logged_model(run_id, cycle_key, name)
        identity = {
            "model_id": model.model_id,
            "run_id": run_id,
            "utc_time_created": _utc(model.creation_timestamp),
        }
        with TemporaryDirectory(prefix="ratchet-model-") as scratch:
            lay_out(Path(scratch), bundle, identity)
            self.calls(
                "store the model's files",
                lambda: self.client.log_model_artifacts(model.model_id, scratch),
            )
        self.calls(
            "finish the stored model",
            lambda: self.client.finalize_logged_model(model.model_id, "READY"),
        )
        return model.artifact_location, model.model_id

    def _register_name(self, pipeline: str) -> None:
        from mlflow.exceptions import MlflowException

        if pipeline in self._registered:
            return
        text = (
            f"Models that the Ratchet pipeline **{pipeline}** trained and registered. The alias "
            "`champion` serves. It moves only by a decision: see each version's page for the "
            "evidence."
        )

        def create() -> None:
            try:
                self.client.create_registered_model(pipeline, description=text)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

        self.calls("create the registered model", create)
        self._registered.add(pipeline)

    def describe(
        self, pipeline: str, version: int, description: str, tags: Mapping[str, str]
    ) -> None:
        """Replace the version's description (Markdown) and set tags.

        A description over 5,000 characters (the width of MLflow's column) is cut at a line.

        Raises:
            NotFound: no such version.
        """
        current = self.version(pipeline, version)
        number, text = str(version), clipped(description)
        if current.description != text:
            self.calls(
                "describe the model version",
                lambda: self.client.update_model_version(pipeline, number, text),
            )
        for key, value in tags.items():
            if current.tags.get(key) != value:
                self.calls(
                    "tag the model version",
                    lambda k=key, v=value: self.client.set_model_version_tag(  # type: ignore[misc]
                        pipeline, number, k, v
                    ),
                )

    def every(self, pipeline: str) -> list[ModelVersion]:
        """Every version, oldest first."""
        found: list[Any] = []
        token = None
        while True:
            page = self.calls(
                "list the model versions",
                lambda t=token: self.client.search_model_versions(  # type: ignore[misc]
                    f"name = '{pipeline}'", page_token=t
                ),
            )
            found += page
            token = page.token
            if not token:
                break
        aliases = self._aliases(pipeline)
        shown = [_seen(v, tuple(aliases.get(int(v.version), ()))) for v in found]
        return sorted(shown, key=lambda v: v.version)

    def _aliases(self, pipeline: str) -> dict[int, list[str]]:
        try:
            model = self.calls(
                "read the aliases", lambda: self.client.get_registered_model(pipeline)
            )
        except NotFound:
            return {}
        names: dict[int, list[str]] = {}
        for alias, number in sorted(model.aliases.items()):
            names.setdefault(int(number), []).append(alias)
        return names

    def version(self, pipeline: str, version: int) -> ModelVersion:
        """One version.

        Raises:
            NotFound: there is none of that number.
        """
        found = self.calls(
            f"find version {version} of {pipeline!r}",
            lambda: self.client.get_model_version(pipeline, str(version)),
        )
        return _seen(found, tuple(sorted(found.aliases)))

    def alias(self, pipeline: str, alias: str) -> ModelVersion | None:
        """The version behind an alias, or None."""
        for number, names in self._aliases(pipeline).items():
            if alias in names:
                return self.version(pipeline, number)
        return None

    def set_alias(self, pipeline: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, in one atomic step; None removes it.

        Raises:
            NotFound: no such version.
        """
        if version is not None:
            number = str(version)
            self.calls(
                f"point {alias!r} of {pipeline!r} at version {version}",
                lambda: self.client.set_registered_model_alias(pipeline, alias, number),
            )
        elif self.alias(pipeline, alias) is not None:
            self.calls(
                f"remove the alias {alias!r} of {pipeline!r}",
                lambda: self.client.delete_registered_model_alias(pipeline, alias),
            )

    def load(self, pipeline: str, version: int) -> Bundle:
        """Download the bundle of a version and verify its digests before anything parses it.

        Only the three files of a bundle are read, from inside the pipeline's own artifacts.

        Raises:
            NotFound: no such version.
            Tampered: manifest or model bytes differ from what the version's tags recorded, or the
                version points outside the pipeline's artifacts.
        """
        found = self.calls(
            f"find version {version} of {pipeline!r}",
            lambda: self.client.get_model_version(pipeline, str(version)),
        )
        digest = dict(found.tags).get(DIGEST_TAG)
        if not digest:
            raise Tampered(
                f"{pipeline} version {version} has no tag {DIGEST_TAG}; expected the digest that "
                "Ratchet records. It was not registered by Ratchet, so it is not loaded."
            )
        with self._store.folder(pipeline, found.source, DATA) as folder:
            files = read_bundle_files(folder)
        return unpack(files, digest)


def clipped(text: str, limit: int = DESCRIPTION_LIMIT) -> str:
    """The text, cut at the end of a line where it is over the limit, and saying so."""
    if len(text) <= limit:
        return text
    note = "\n\n… cut here; `ratchet explain` shows all of it."
    return text[: limit - len(note)].rpartition("\n")[0] + note


def _seen(found: Any, aliases: tuple[str, ...]) -> ModelVersion:
    tags = dict(found.tags)
    return ModelVersion(
        pipeline=found.name,
        version=int(found.version),
        run_id=found.run_id or "",
        cycle_key=tags.get(CYCLE_KEY_TAG, ""),
        tags=tags,
        aliases=aliases,
        description=found.description or "",
    )


def _utc(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
