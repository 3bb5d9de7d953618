"""Great Expectations does the same work again and again; for one run the results are kept.

>>> with built_once():                                                          # doctest: +SKIP
...     batch.validate(suite)

An expectation rebuilds its configuration at each read of one of its arguments, about eighty times a
rule and run, and a configuration rebuilds its expectation for each metric. A row condition is
parsed and applied for each metric under it, the arguments of a metric are written as JSON each time
it is named, the whole batch is hashed for each pass, and floats are searched one by one for
decimals. Nothing in a run changes any of these, and together they are more than half of the time of
a suite of 69 rules on 6,000 rows.

Promise: results are the same as without; afterwards the library is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def built_once() -> Iterator[None]:
    """Keep what is built inside; one thread at a time, because the library itself is changed."""
    from great_expectations import util
    from great_expectations.core.id_dict import IDDict
    from great_expectations.execution_engine import PandasExecutionEngine, pandas_execution_engine
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    engine = PandasExecutionEngine
    changes: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (Expectation, "configuration", lambda was: property(_kept(was.fget))),
        (ExpectationConfiguration, "to_domain_obj", _kept),
        (engine, "_apply_row_condition_filter", _kept_rows),
        (IDDict, "to_id", _kept_ids),
        (pandas_execution_engine, "hash_pandas_dataframe", _kept),
        (util, "does_ndarray_contain_decimal_dtype", _unless_floats),
    ]
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in changes]
    for (owner, name, change), (_, _, was) in zip(changes, before, strict=True):
        setattr(owner, name, change(was))
    try:
        yield
    finally:
        for owner, name, was in before:
            setattr(owner, name, was)


def _kept(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``build``, once an object; the object is kept too, so that no other takes its identity."""
    known: dict[int, tuple[Any, Any]] = {}

    def kept(self: Any) -> Any:
        if id(self) not in known:
            known[id(self)] = (self, build(self))
        return known[id(self)][1]

    return kept


def _kept_rows(apply: Callable[..., Any]) -> Callable[..., Any]:
    """The rows of a frame under a condition, once a frame and condition."""
    known: dict[tuple[int, str], tuple[Any, Any]] = {}

    def kept(self: Any, data: Any, row_condition: Any, domain_kwargs: Any) -> Any:
        key = id(data), repr(row_condition)
        if key not in known:
            known[key] = (data, apply(self, data, row_condition, domain_kwargs))
        return known[key][1]

    return kept


def _kept_ids(identify: Callable[..., Any]) -> Callable[..., Any]:
    """The identifier of a dictionary, once for the same keys and values.

    Text is the same by value, anything else by identity; values are kept, so that no other takes
    theirs.
    """
    known: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def kept(self: Any, id_keys: Any = None, id_ignore_keys: Any = None) -> Any:
        if id_keys is not None or id_ignore_keys is not None:
            return identify(self, id_keys, id_ignore_keys)
        key = tuple((k, v if type(v) is str else id(v)) for k, v in self.items())
        if key not in known:
            known[key] = (list(self.values()), identify(self))
        return known[key][1]

    return kept


def _unless_floats(search: Callable[..., bool]) -> Callable[..., bool]:
    """Whether an array holds decimals; one of floats does not."""

    def found(data: Any) -> bool:
        return data.dtype.kind != "f" and search(data)

    return found
