"""Great Expectations behind the :class:`~ratchet.contracts.seams.SuiteRunner` seam.

>>> GreatExpectations().run(json.loads(text), rows.to_pandas())          # doctest: +SKIP
[ExpectationResult(name='column_values_to_be_between(temp)', level='row', success=True, ...)]

Promise: one result for each expectation, in the suite's order. A check that breaks is a result with
``exception`` set, never a pass and never a traceback. A row-level rule names every row it rejects.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ratchet.adapters.built_once import built_once
from ratchet.adapters.suite_rules import NAME, Rule, read_rules
from ratchet.adapters.suite_words import clip, failing, measured
from ratchet.contracts.seams import ExpectationResult

if TYPE_CHECKING:
    import pandas as pd

_ONE_AT_A_TIME = threading.Lock()  # the engine of a data source has one active batch


class GreatExpectations:
    """Runs suites written as Great Expectations' own JSON.

    Each expectation's ``meta`` says its ``level`` (``row``: failing rows are rejected; ``batch``:
    a failure is about the whole batch) and the ``reason`` of the rule.
    """

    def run(self, suite: Mapping[str, Any], frame: pd.DataFrame) -> list[ExpectationResult]:
        """One result per expectation, in the suite's order.

        Args:
            suite: ``{"name": ..., "expectations": [{"type", "kwargs", "meta"}, ...]}``.
            frame: the batch, shape (rows, columns); row positions in results count from 0.

        Raises:
            DefinitionError: no rules, unknown expectation or argument, no level, or a
                condition given as text.
        """
        rules = read_rules(suite)
        frame = frame.reset_index(drop=True)
        present = set(map(str, frame.columns))
        runnable = [r for r in rules if present.issuperset(r.columns)]
        results = _validate(runnable, frame)
        return [
            _result(rule, results[rule.name], frame)
            if rule.name in results
            else _column_missing(rule, present)
            for rule in rules
        ]


def _validate(rules: Sequence[Rule], frame: pd.DataFrame) -> dict[str, Any]:
    """Name of each rule to GX's result, or to the error that stopped all of them."""
    with _ONE_AT_A_TIME, built_once():
        try:
            batch = _batches().get_batch(batch_parameters={"dataframe": frame})
            # Positions cost half as much again, and healthy batches need none: first yes or no
            # for rows, numbers for batches; then all there is about what failed.
            found = _results(batch, [r for r in rules if r.level == "row"], "BOOLEAN_ONLY")
            found |= _results(batch, [r for r in rules if r.level == "batch"], "BASIC")
            failed = [r for r in rules if not found[r.name].success]
            return found | _results(batch, failed, "COMPLETE")
        except Exception as error:  # the instrument broke: every rule says so, and none passes
            return {rule.name: error for rule in rules}


def _results(batch: Any, rules: Sequence[Rule], detail: str) -> dict[str, Any]:
    from great_expectations.core import ExpectationSuite

    if not rules:
        return {}
    suite = ExpectationSuite(name="suite")
    # Not `expectations=`: that copies each and compares it with all others.
    suite.expectations = [rule.expectation for rule in rules]
    shape = {
        "result_format": detail,
        "exclude_unexpected_values": True,
        "return_unexpected_index_query": False,
    }
    outcome = batch.validate(suite, result_format=shape)
    # Broken expectations come first in GX's list, so each is found by the name it carries.
    named = {r.expectation_config.meta[NAME]: r for r in outcome.results}
    return {rule.name: named[rule.name] for rule in rules}


@lru_cache(maxsize=1)
def _batches() -> Any:
    """The batch definition through which frames are validated, one for the process."""
    from ratchet.settings import prepare_environment

    prepare_environment()
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    # This one sets its own level when it is imported, and would print the next line's doings.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.NOTSET)
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("ratchet").add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("rows")


def _result(rule: Rule, outcome: Any, frame: pd.DataFrame) -> ExpectationResult:
    if isinstance(outcome, Exception):
        return _broken(rule, f"{type(outcome).__name__}: {outcome}")
    raised = _exception(outcome.exception_info)
    if raised is not None:
        return _broken(rule, raised)
    found = outcome.result
    failed = found.get("unexpected_index_list") or ()
    return ExpectationResult(
        name=rule.name,
        level=rule.level,
        success=bool(outcome.success),  # the quantile expectation gives a numpy bool
        observed=_observed(rule, found, failed, frame),
        expected=rule.expected,
        reason=rule.reason,
        failed_rows=tuple(int(i) for i in failed) if rule.level == "row" else (),
    )


def _exception(info: Mapping[str, Any]) -> str | None:
    """The message in GX's two shapes of exception info: flat, or one entry a broken metric."""
    entries: Iterable[Any] = [info] if "raised_exception" in info else info.values()
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return str(entry.get("exception_message"))
    return None


def _broken(rule: Rule, message: str) -> ExpectationResult:
    return ExpectationResult(
        rule.name,
        rule.level,
        success=False,
        observed="the check broke",
        expected=rule.expected,
        reason=rule.reason,
        exception=clip(message, 300),
    )


def _column_missing(rule: Rule, present: set[str]) -> ExpectationResult:
    absent = [c for c in rule.columns if c not in present]
    return ExpectationResult(
        rule.name,
        level="batch",  # without its column a rule can name no row
        success=False,
        observed=f"column missing: {', '.join(absent)}",
        expected=rule.expected,
        reason=rule.reason,
    )


def _observed(
    rule: Rule, found: Mapping[str, Any], failed: Sequence[int], frame: pd.DataFrame
) -> str:
    if "observed_value" in found:
        value = found["observed_value"]
        return clip(measured(rule.kind, rule.kwargs, value, frame), 300)
    if not found:
        return f"none of {len(frame):,} rows fails"
    return failing(rule.kind, rule.kwargs, rule.columns, found, frame.loc[list(failed)])
