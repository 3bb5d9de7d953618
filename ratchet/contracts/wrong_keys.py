"""What is wrong with a file, one line a wrong key: the key, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(
    error: ValidationError, document: Mapping[str, Any], whole: type[BaseModel]
) -> list[str]:
    """One line a wrong key, though pydantic says each member of a union that did not fit."""
    said: dict[tuple[str, str], list[str]] = {}
    errors = error.errors(include_url=False)
    inside = {e["loc"][:n] for e in errors for n in range(1, len(e["loc"]))}
    for one in errors:
        if one["type"] == "too_short" and one["loc"] in inside:
            continue  # pydantic counts only the members that are right
        key, wrong, found = _wrong(one, document, whole)
        said.setdefault((key, found), []).append(wrong)
    return [
        "  " + ": ".join(part for part in (key, " or ".join(wrong) + found) if part)
        for (key, found), wrong in said.items()
    ]


def _wrong(error: Any, document: Mapping[str, Any], whole: type[BaseModel]) -> tuple[str, str, str]:
    """The key, what is wrong with it, and what was found there."""
    loc, found = error["loc"], error.get("input")
    shown = "" if isinstance(found, dict | BaseModel) else f", found {found!r:.200}"
    if error["type"] == "missing":
        return ".".join(map(str, loc)), "is missing, but required", ""
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(loc[:-1], whole))
        return _key(loc, document), f"no such key{shown}; allowed here: {allowed}", ""
    return _key(loc, document), error["msg"].removeprefix("Value error, "), shown


def _key(loc: Sequence[str | int], document: Any) -> str:
    """The key as the file spells it: pydantic adds the member of a union that it tried."""
    parts = []
    for part in loc:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            break
        parts.append(str(part))
    return ".".join(parts)


def _allowed_keys(loc: Sequence[str | int], whole: type[BaseModel]) -> list[str]:
    """The keys of the table at a place in the file."""
    model = whole
    for part in loc:
        for name, field in model.model_fields.items():
            if part == (field.alias or name):
                kinds = (field.annotation, *get_args(field.annotation))
                model = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return sorted(field.alias or name for name, field in model.model_fields.items())
