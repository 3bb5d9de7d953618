"""The skill that a window's labels are judged by: the champion's on all rows held out so far."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ratchet.contracts.definition import parse
from ratchet.contracts.lineage import Decision
from ratchet.validate import expected_skill
from tests.streams import PIPELINE

PLAIN = Decision("tiny", "0", 0, 1000, "tiny/0/x", "x", "held", ("because",))


def made(before: int | None, after: int | None, candidate: float | None, judged: float | None):
    return replace(
        PLAIN,
        champion_before=before,
        champion_after=after,
        candidate={} if candidate is None else {"auc": candidate},
        champion={} if judged is None else {"auc": judged},
    )


@pytest.mark.parametrize(
    ("version", "history", "expected"),
    [
        (None, [], None),
        (1, [], None),
        (1, [made(None, 1, 0.8, None)], 0.6),
        # it faded on what was held out since: a window as weak as the last ones is no surprise
        (1, [made(None, 1, 0.8, None), made(1, 1, 0.9, 0.6), made(1, 1, 0.9, 0.55)], 0.3),
        # what others scored says nothing: neither its predecessor nor a candidate that was held
        (2, [made(None, 1, 0.9, None), made(1, 2, 0.8, 0.7), made(2, 2, 0.99, 0.7)], 0.5),
        # a rollback put it back; what it scored before counts, windows without metrics do not
        (1, [made(None, 1, 0.8, None), made(1, 2, 0.9, 0.6), made(2, 1, None, None)], 0.4),
        (1, [made(None, 1, 0.8, None), made(1, 1, None, None)], 0.6),
    ],
)
def test_the_mean_over_all_that_was_held_out_while_it_served(
    version: int | None, history: list[Decision], expected: float | None
) -> None:
    found = expected_skill(version, history, parse(PIPELINE).label)
    assert found == (None if expected is None else pytest.approx(expected))
