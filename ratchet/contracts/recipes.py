"""Ways to train, as a pipeline file declares them.

>>> Member(name="anchor", every=8, residual=Residual()).every
8
"""

from __future__ import annotations

from pydantic import Field

from ratchet.contracts.defence import Part

NAME = r"^[a-z][a-z0-9_-]{0,62}$"


class Recipe(Part):
    """One way to train: which history, which weights, which hyperparameters."""

    name: str = Field(pattern=NAME)
    history: int | None = Field(default=None, ge=1)  # windows; left out: all history
    half_life: float | None = Field(default=None, gt=0)  # windows; left out: equal weights
    rounds: int = Field(default=100, ge=1, le=10_000)
    max_depth: int = Field(default=6, ge=1, le=16)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    min_child_weight: float = Field(default=1.0, ge=0)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    reg_lambda: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=256, ge=2, le=4096)


class Residual(Part):
    """Trees on top of a model that is some windows old: what the newest windows add to it."""

    history: int = Field(default=3, ge=1)  # windows they learn from
    rounds: int = Field(default=20, ge=1, le=10_000)
    max_depth: int = Field(default=4, ge=1, le=16)
    learning_rate: float = Field(default=0.1, gt=0, le=1)


class Member(Recipe):
    """One recipe of a mixture: trained anew every so many windows, with trees on top between."""

    every: int = Field(default=1, ge=1, le=520)  # windows from one training of the base to the next
    residual: Residual | None = None  # left out: the base alone
