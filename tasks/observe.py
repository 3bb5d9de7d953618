"""What a run says of itself: log lines on the terminal, and in Prefect where it runs a flow.

>>> @observed                                                         # doctest: +SKIP
... def retrain(pipeline, window=None): ...

Promise: every cycle that begins, ends or fails is a line with pipeline, window and run id; saying
so never changes what the cycle does.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ratchet import logs
from ratchet.errors import LeaseHeld
from tasks import notify
from tasks.cycle import in_flow_run

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger("ratchet.cycle")
LEVELS = {"blocked": logging.WARNING, "error": logging.ERROR}


def observed(body: Callable[P, T]) -> Callable[P, T]:
    """A flow's body whose lines name its ``pipeline`` and its run, and whose failure is logged."""

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        pipeline = inspect.signature(body).bind(*args, **kwargs).arguments["pipeline"]
        logs.set_up()
        with _about_run(pipeline):
            try:
                return body(*args, **kwargs)
            except Exception as error:
                _failed(pipeline, error)
                raise

    # Prefect reads the parameters' types here; as text they would be looked up in this module.
    run.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    return run


@contextmanager
def cycle(workspace: Workspace, window: Window) -> Iterator[None]:
    """One window's cycle: its lines name it; its begin, end and failure are logged."""
    label, started = workspace.calendar.label(window), time.perf_counter()
    with logs.about(pipeline=workspace.name, window=label):
        logger.info("cycle begins", extra={"facts": {"definition": workspace.digest[:16]}})
        try:
            yield
        except Exception as error:
            _failed(workspace.name, error, told=workspace.replay is None)
            raise
        seconds = round(time.perf_counter() - started, 3)
        logger.info("cycle ends after %.2f s", seconds, extra={"facts": {"seconds": seconds}})
        notify.tell(workspace)


def decided(decision: Decision) -> None:
    """A decision, with the champion before and after."""
    before, after = decision.champion_before, decision.champion_after
    kind = "rolled back" if decision.is_rollback else decision.outcome
    moved = f"champion {before} -> {after}" if before != after else f"champion stays {after}"
    facts = {
        "outcome": kind,
        "champion_before": before,
        "champion_after": after,
        "rows_in": decision.rows_in,
        "accepted": decision.accepted,
        "quarantined": decision.quarantined,
        "mlflow_run": decision.run_id,
    }
    level = logging.WARNING if decision.is_rollback else LEVELS.get(decision.outcome, logging.INFO)
    said = f"{kind}: {'; '.join(decision.reasons)}; {moved}"
    with logs.about(pipeline=decision.pipeline, window=decision.window):
        logger.log(level, "%s", said, extra={"facts": facts})


def recovered(pipeline: str, what: str) -> None:
    """What was completed or undone after a crash."""
    with logs.about(pipeline=pipeline, stage="recover"):
        logger.warning("recovered: %s", what)


def revoked(pipeline: str, blast: Mapping[str, Any], by: str) -> None:
    """What was revoked, and who serves now."""
    facts = {k: blast[k] for k in ("source", "object", "rows", "labels", "champion", "restored")}
    facts |= {"where": blast["where"]} if blast["where"] else {}
    facts["tables"] = "; ".join(f"{name}: {one['said']}" for name, one in blast["tables"].items())
    what = blast["object"] or blast["source"]
    what = f"rows of {what} with {blast['where']}" if blast["where"] else what
    said = (
        f"{what} revoked {blast['span']} by {by}: "
        f"{blast['rows']:,} rows, {blast['labels']:,} labels; champion {blast['champion']} -> "
        f"{blast['restored']} {blast['note']}"
    )
    with logs.about(pipeline=pipeline):
        logger.warning("%s", said.strip(), extra={"facts": facts})


@contextmanager
def _about_run(pipeline: str) -> Iterator[None]:
    if not in_flow_run():
        with logs.about(pipeline=pipeline):
            yield
        return
    from prefect.runtime import flow_run

    show_in_prefect()
    with logs.about(pipeline=pipeline, run_id=str(flow_run.get_id())):
        yield


def show_in_prefect() -> None:
    """From now on Ratchet's lines of a flow run are shown on its page."""
    from prefect.logging.handlers import APILogHandler

    root = logging.getLogger(logs.ROOT)
    if any(isinstance(h, APILogHandler) for h in root.handlers):
        return
    handler = APILogHandler(logging.INFO)
    handler.addFilter(lambda _: in_flow_run())
    handler.addFilter(logs.AddContext())
    handler.setFormatter(_OnRunPage())
    root.addHandler(handler)


class _OnRunPage(logs.Masked):
    """The page names pipeline and run; several windows may share it."""

    def format(self, record: logging.LogRecord) -> str:
        window, stage = getattr(record, "window", ""), getattr(record, "stage", "")
        about = " ".join(part for part in (window, stage) if part)
        return f"{about}: {super().format(record)}" if about else super().format(record)


def _failed(pipeline: str, error: Exception, told: bool = True) -> None:
    """Say once why a run failed; that another run holds the pipeline is no failure."""
    if getattr(error, "ratchet_said", False):
        return
    error.ratchet_said = True  # type: ignore[attr-defined]
    with logs.about(pipeline=pipeline):
        if isinstance(error, LeaseHeld):
            logger.warning("%s", error)
            return
        logger.error("failed: %s: %s", type(error).__name__, error, exc_info=error)
        if told:
            notify.failed(pipeline, error, _run_page())


def _run_page() -> str:
    """Where the run is shown, if a Prefect server shows it."""
    if not in_flow_run():
        return ""
    from prefect.runtime import flow_run

    return str(flow_run.get_flow_run_ui_url() or "")
