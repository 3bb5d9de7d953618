"""The tree of errors is what the module says it is, and each error says what it means."""

from __future__ import annotations

import re
from inspect import getmembers, isclass

from ratchet import errors
from ratchet.errors import LeaseHeld, ObjectError, RatchetError, StorageError

ALL = [c for _, c in getmembers(errors, isclass) if issubclass(c, RatchetError)]


def test_every_error_has_one_root_and_says_what_it_means() -> None:
    assert len(ALL) == 18
    for kind in ALL:
        assert issubclass(kind, RatchetError)
        assert kind.__doc__ and kind.__doc__.strip().endswith(".")
        assert str(kind("what was found")) == "what was found"


def test_the_drawing_names_every_error_under_its_parent() -> None:
    drawn = re.findall(r"^(.*?)([A-Z]\w+)(?= |$)", (errors.__doc__ or "").split("::")[1], re.M)
    depth = {name: len(indent) for indent, name in drawn}
    assert set(depth) == {kind.__name__ for kind in ALL}
    order = [name for _, name in drawn]
    for kind in ALL:
        if kind is RatchetError:
            continue
        above = order[: order.index(kind.__name__)]
        parents = [n for n in above if depth[n] < depth[kind.__name__]]
        assert parents[-1] == kind.__base__.__name__


def test_every_object_error_carries_its_own_check() -> None:
    kinds = [k for k in ALL if issubclass(k, ObjectError)]
    assert len({k.check for k in kinds}) == len(kinds)
    assert all(re.fullmatch(r"[a-z_]+", k.check) for k in kinds)


def test_what_one_object_does_is_no_failure_of_the_store() -> None:
    assert not issubclass(ObjectError, StorageError)
    assert not issubclass(LeaseHeld, StorageError)
