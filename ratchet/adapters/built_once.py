"""Great Expectations builds the same two objects again and again; for one run they are kept.

>>> with built_once():                                                          # doctest: +SKIP
...     batch.validate(suite)

An expectation rebuilds its configuration at each read of one of its arguments, about eighty times
a rule and run, and a configuration rebuilds its expectation for each metric: half of the time of a
suite of 69 rules on 6,000 rows. Nothing in a run changes either after it was built.

Promise: results are the same as without; afterwards the library is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def built_once() -> Iterator[None]:
    """Keep what is built inside; one thread at a time, because the library itself is changed."""
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    configuration, expectation = Expectation.configuration, ExpectationConfiguration.to_domain_obj
    Expectation.configuration = property(_kept(configuration.fget))
    ExpectationConfiguration.to_domain_obj = _kept(expectation)
    try:
        yield
    finally:
        Expectation.configuration = configuration
        ExpectationConfiguration.to_domain_obj = expectation


def _kept(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``build``, once an object; the object is kept too, so that no other takes its identity."""
    known: dict[int, tuple[Any, Any]] = {}

    def kept(self: Any) -> Any:
        if id(self) not in known:
            known[id(self)] = (self, build(self))
        return known[id(self)][1]

    return kept
