"""What a pipeline declares of the search for better hyperparameters, and what one is called.

>>> shadow_name("all", {"max_depth": 3})
'all~7b8d'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ratchet.contracts.defence import Part
from ratchet.contracts.lineage import digest_of

CHECK = "search.trials"  # the evidence that says what was tried, dropped and adopted


class Search(Part):
    """How much may be tried in the shadow, and how sure a change must be."""

    trials: int = Field(default=2, ge=1, le=8)  # mutations that are tried at one time
    budget: float = Field(default=0.5, gt=0, le=8)  # work of trials, as a share of all training's
    windows: int = Field(default=3, ge=2, le=52)  # that a mutation is scored on, at least
    alpha: float = Field(default=0.1, gt=0, lt=0.5)  # of the changes that are adopted: no better
    max_depth: int = Field(default=10, ge=1, le=16)
    max_rounds: int = Field(default=400, ge=10, le=10_000)


def shadow_name(parent: str, recipe: Mapping[str, Any]) -> str:
    """What a mutation is called: its parent, and four digits of its content's SHA-256."""
    return f"{parent}~{digest_of(dict(recipe))[:4]}"
