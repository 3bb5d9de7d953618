"""Runs in MLflow: opened once a cycle, and recorded on so that repeating changes nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

from ratchet.adapters.bundle_files import inside
from ratchet.adapters.mlflow_calls import Calls
from ratchet.adapters.mlflow_store import Store, local_path
from ratchet.contracts.seams import CYCLE_KEY_TAG, curves_key
from ratchet.errors import NotFound, Refused

BATCH = 100  # MLflow's cap of parameters and of tags in one call
DIGEST_WIDTH = 36  # of a dataset, in MLflow's database
TAG_LIMIT = 8000
PARAM_LIMIT = 6000


class Runs:
    """What :class:`ratchet.adapters.mlflow_registry.MlflowRegistry` does to runs."""

    def __init__(self, client: Any, calls: Calls, store: Store, ui_url: str | None) -> None:
        self._client, self._calls, self._store, self._ui_url = client, calls, store, ui_url
        self._curves: dict[str, str] = {}  # pipeline to the run that holds its curves

    def open(self, pipeline: str, cycle_key: str, name: str) -> str:
        """The id of the cycle's run; see ``Registry.open_run``."""
        if "'" in cycle_key or "'" in pipeline:
            raise Refused(f"cycle key {cycle_key!r}: expected no quote in it")
        experiment = self._store.experiment(pipeline).experiment_id
        wanted = f"tags.`{CYCLE_KEY_TAG}` = '{cycle_key}'"
        order = ["attributes.start_time ASC"]
        found = self._calls(
            "look for the cycle's run",
            lambda: self._client.search_runs([experiment], wanted, max_results=1, order_by=order),
        )
        if found:
            run = found[0]
            if run.info.status != "RUNNING":
                self._calls(
                    "open the run again",
                    lambda: self._client.update_run(run.info.run_id, status="RUNNING"),
                )
            return str(run.info.run_id)
        tags = {CYCLE_KEY_TAG: cycle_key, "mlflow.source.name": "ratchet"}
        made = self._calls(
            "open a run",
            lambda: self._client.create_run(experiment, tags=tags, run_name=name),
        )
        return str(made.info.run_id)

    def chart(self, pipeline: str, step: int, at: int, metrics: Mapping[str, float]) -> None:
        """One point of each curve; MLflow keeps equal points (key, time, step, value) once."""
        from mlflow.entities import Metric

        if pipeline not in self._curves:
            run_id = self.open(pipeline, curves_key(pipeline), f"{pipeline} over windows")
            self.close(run_id, "FINISHED")
            self._curves[pipeline] = run_id
        points = [Metric(key, float(value), at, step) for key, value in metrics.items()]
        self._batches(self._curves[pipeline], points, [], [])

    def close(self, run_id: str, status: str) -> None:
        """End the run with this status, unless it already has it."""
        if self._run(run_id).info.status != status:
            self._calls("close the run", lambda: self._client.set_terminated(run_id, status))

    def values(
        self,
        run_id: str,
        step: int,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Log what differs from what the run holds; nothing when nothing does."""
        from mlflow.entities import Param, RunTag

        if not (metrics or params or tags):
            return
        data = self._run(run_id).data
        changed = {
            f"param.{key}": value
            for key, value in params.items()
            if key in data.params and data.params[key] != value[:PARAM_LIMIT]
        }
        new_params = [Param(k, v) for k, v in params.items() if k not in data.params]
        wanted = {**changed, **{k: v[:TAG_LIMIT] for k, v in tags.items()}}
        new_tags = [RunTag(k, v) for k, v in wanted.items() if data.tags.get(k) != v]
        new_metrics = self._new_metrics(run_id, data, step, metrics)
        self._batches(run_id, new_metrics, new_params, new_tags)

    def _batches(
        self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]
    ) -> None:
        while metrics or params or tags:
            batch = metrics[:BATCH], params[:BATCH], tags[:BATCH]
            self._calls(
                "log values",
                lambda b=batch: self._client.log_batch(run_id, *b),  # type: ignore[misc]
            )
            metrics, params, tags = metrics[BATCH:], params[BATCH:], tags[BATCH:]

    def _new_metrics(
        self, run_id: str, data: Any, step: int, metrics: Mapping[str, float]
    ) -> list[Any]:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        held = {metric.key for metric in data._metric_objs}
        latest = {(m.key, m.step): m.value for m in data._metric_objs}
        new = []
        for key, value in metrics.items():
            if (key, step) in latest:
                known = latest[key, step]
            else:
                known = self._earlier(run_id, key, step) if key in held else None
            if known is None or not _same(known, value):
                new.append(Metric(key, float(value), now, step))
        return new

    def _earlier(self, run_id: str, key: str, step: int) -> float | None:
        history = self._calls("read a metric", lambda: self._client.get_metric_history(run_id, key))
        values = [m.value for m in history if m.step == step]
        return values[-1] if values else None

    def artifacts(self, run_id: str, artifacts: Mapping[str, bytes]) -> None:
        """Write files below the run's artifacts; existing ones are replaced."""
        with TemporaryDirectory(prefix="ratchet-run-") as scratch:
            for name, content in artifacts.items():
                path = inside(Path(scratch), name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._calls("store the reports", lambda: self._client.log_artifacts(run_id, scratch))

    def datasets(self, run_id: str, datasets: Sequence[tuple[str, str, str, str]]) -> None:
        """Record what the run read: (name, digest, source address, context) each."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for name, digest, source, context in datasets:
            kind = urlsplit(source).scheme.replace("file", "") or "local"  # MLflow's own words
            short = digest[:DIGEST_WIDTH]
            held = Dataset(name, short, kind, json.dumps({"uri": source}, sort_keys=True))
            tags = {"mlflow.data.context": context, "ratchet.sha256": digest}
            inputs.append(DatasetInput(held, [InputTag(k, v) for k, v in tags.items()]))
        if inputs:
            self._calls("record the data", lambda: self._client.log_inputs(run_id, inputs))

    def logged_model(self, run_id: str, cycle_key: str, name: str) -> Any:
        """The run's stored model: the one that an earlier attempt began, or a new one."""
        from mlflow.entities import LoggedModelOutput

        run = self._run(run_id)
        listed = {output.model_id for output in run.outputs.model_outputs}
        model = self._existing_model(run, cycle_key) or self._calls(
            "create the stored model",
            lambda: self._client.create_logged_model(
                run.info.experiment_id,
                name=name,
                source_run_id=run_id,
                tags={CYCLE_KEY_TAG: cycle_key},
                model_type="xgboost",
            ),
        )
        if model.model_id not in listed:
            output = LoggedModelOutput(model.model_id, step=0)
            self._calls("link the model", lambda: self._client.log_outputs(run_id, [output]))
        return model

    def _existing_model(self, run: Any, cycle_key: str) -> Any:
        found = self._calls(
            "look for the stored model",
            lambda: self._client.search_logged_models(
                [run.info.experiment_id],
                f"source_run_id = '{run.info.run_id}' AND tags.`{CYCLE_KEY_TAG}` = '{cycle_key}'",
                max_results=1,
                order_by=[{"field_name": "creation_timestamp", "ascending": True}],
            ),
        )
        return found[0] if found else None

    def page(self, run_id: str, artifact: str = "") -> str:
        """The run's or artifact's page in the UI, or the path (else the address) of its files."""
        info = self._run(run_id).info
        if self._ui_url:
            page = f"#/experiments/{info.experiment_id}/runs/{run_id}"
            page += f"/artifacts/{quote(artifact)}" if artifact else ""
            return f"{self._ui_url.rstrip('/')}/{page}?workflowType=machine_learning"
        path = local_path(info.artifact_uri)
        return (
            str(path / artifact) if path else "/".join(filter(None, (info.artifact_uri, artifact)))
        )

    def artifact(self, run_id: str, path: str) -> bytes:
        """The bytes of one artifact; see ``Registry.artifact``."""
        folder = local_path(self._run(run_id).info.artifact_uri)
        if folder is not None:
            return _read(inside(folder, path), run_id, path)
        with TemporaryDirectory(prefix="ratchet-artifact-") as scratch:
            target = inside(Path(scratch), path)
            self._calls(
                f"download {path!r}",
                lambda: self._client.download_artifacts(run_id, path, scratch),
            )
            return _read(target, run_id, path)

    def _run(self, run_id: str) -> Any:
        return self._calls(f"find run {run_id}", lambda: self._client.get_run(run_id))


def _read(path: Path, run_id: str, name: str) -> bytes:
    if not path.is_file():
        raise NotFound(f"run {run_id} has no artifact {name!r}")
    return path.read_bytes()


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
