"""What a candidate has to be besides good: small, quick, steady, and no leak of its training rows.

>>> Fitness().max_bundle_mib
64.0
"""

from __future__ import annotations

from pydantic import Field

from ratchet.contracts.defence import Part, Share


class Fitness(Part):
    """Limits on a candidate that has passed the cheap checks of the gate.

    ``visits_per_second`` turns work into time. It is declared and not read from a clock: a replay
    on another machine has to come to the same decision. A visit is one level of one tree.
    """

    max_bundle_mib: float = Field(default=64.0, gt=0)  # every file of the bundle together
    max_work_ratio: float = Field(default=10.0, gt=0)  # of the champion's work for a row
    max_row_us: float | None = Field(default=None, gt=0)  # microseconds a row; left out: no budget
    visits_per_second: float = Field(default=1e8, gt=0)
    rows: int = Field(default=1000, ge=100, le=100_000)  # of the holdout that are asked
    alpha: float = Field(default=0.05, gt=0, lt=0.5)  # a check that measures on rows blocks wrongly
    missing_margin: float = Field(default=0.1, ge=0)  # of the champion's loss without the feature
    jitter: float = Field(default=0.01, gt=0, le=1)  # of each number's standard deviation
    max_jitter_change: Share = 1.0  # of a score, that one row of 100 may exceed; 1: any
    jitter_margin: Share = 0.1  # how much more than the champion's it may be
    max_membership: Share = 0.2  # advantage of guessing which rows were trained on
    membership_min_rows: int = Field(default=100, ge=20)  # of sealed and of trained rows each
