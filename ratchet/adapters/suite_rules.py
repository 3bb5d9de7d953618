"""The rules of a suite, checked and built before any of them runs.

>>> read_rules(json.loads(text))[0].level                                       # doctest: +SKIP
'row'

Promise: a suite that cannot be run as it is meant (no rules, no level, a condition that would run
as code) is refused whole, with the place and what to write instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ratchet.adapters.suite_words import expected
from ratchet.errors import DefinitionError

LEVELS = ("row", "batch")
NAME = "ratchet"  # the key of an expectation's meta under which its name travels


@dataclass(frozen=True)
class Rule:
    """One expectation of the suite, checked and built."""

    name: str
    level: str
    reason: str
    columns: tuple[str, ...]
    expected: str
    expectation: Any
    kind: str  # the expectation's type, without expect_
    kwargs: Mapping[str, Any]


def read_rules(suite: Mapping[str, Any]) -> list[Rule]:
    """Every rule of a suite, in its order.

    Raises:
        DefinitionError: no rules, unknown expectation or argument, no level, or a condition given
            as text.
    """
    from ratchet.settings import prepare_environment

    prepare_environment()
    import ratchet.adapters.known_combinations  # noqa: F401  registers the expectation

    listed = suite.get("expectations")
    if not isinstance(listed, list) or not listed:
        raise DefinitionError(
            "suite: expected a list 'expectations' with at least one rule; without a rule there is "
            "no evidence, and nothing may pass"
        )
    names: dict[str, int] = {}
    return [_rule(entry, position, names) for position, entry in enumerate(listed)]


def _rule(entry: Any, position: int, names: dict[str, int]) -> Rule:
    where = f"suite: expectation {position + 1}"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("type"), str):
        raise DefinitionError(f"{where}: expected an object with 'type' and 'kwargs'")
    kwargs, meta = dict(entry.get("kwargs") or {}), dict(entry.get("meta") or {})
    where = f"{where} ({entry['type']})"
    level = meta.get("level")
    if level not in LEVELS:
        raise DefinitionError(f"{where}: meta.level: expected one of {LEVELS}, found {level!r}")
    if _runs_code(kwargs):
        raise DefinitionError(
            f"{where}: a condition given as text would be run as code; write it as an object: "
            '{"type": "comparison", "column": {"name": ...}, "operator": "IN", "parameter": [...]}'
        )
    columns = _columns(kwargs)
    plain = f"{entry['type'].removeprefix('expect_')}({', '.join(columns)})"
    names[plain] = names.get(plain, 0) + 1
    name = plain if names[plain] == 1 else f"{plain}#{names[plain]}"
    expectation = _build(entry["type"], kwargs, {**meta, NAME: name}, where)
    if level == "row":
        _check_row_level(expectation, kwargs, where)
    kind = entry["type"].removeprefix("expect_")
    said = expected(kind, kwargs)
    return Rule(name, level, str(meta.get("reason", "")), columns, said, expectation, kind, kwargs)


def _runs_code(kwargs: Mapping[str, Any]) -> bool:
    """Whether a row condition is text: pandas would evaluate it, with names and calls."""
    condition = kwargs.get("row_condition")
    return isinstance(condition, str) or "pass_through" in str(condition)


def _columns(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    named = [kwargs[k] for k in ("column", "column_A", "column_B") if k in kwargs]
    return tuple(str(c) for c in [*named, *kwargs.get("column_list", ())])


def _build(kind: str, kwargs: dict[str, Any], meta: dict[str, Any], where: str) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        return ExpectationConfiguration(type=kind, kwargs=kwargs, meta=meta).to_domain_obj()
    except GreatExpectationsError as error:
        raise DefinitionError(f"{where}: {error}; see greatexpectations.io/expectations") from error
    except (ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
        raise DefinitionError(f"{where}: {' '.join(str(error).split())}") from error


def _check_row_level(expectation: Any, kwargs: Mapping[str, Any], where: str) -> None:
    from great_expectations.expectations import expectation as kinds

    per_row = (
        kinds.ColumnMapExpectation,
        kinds.ColumnPairMapExpectation,
        kinds.MulticolumnMapExpectation,
    )
    if not isinstance(expectation, per_row):
        raise DefinitionError(f"{where}: it judges no single row, so meta.level must be 'batch'")
    if kwargs.get("mostly", 1) != 1:
        raise DefinitionError(
            f"{where}: a row-level rule rejects each row that fails it; 'mostly' tolerates some, "
            "so drop it, or set meta.level to 'batch'"
        )
