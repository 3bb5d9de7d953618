"""What a pipeline declares of money: what a loss costs its owner, and what training costs.

>>> Economics(loss_worth=0.02, cpu_hour=0.05).price(cells=7e8 * 3600)
0.05
"""

from __future__ import annotations

from pydantic import Field

from ratchet.contracts.defence import Part

CHECK = "economics.training"  # the evidence that says whether training was worth it


class Economics(Part):
    """Prices in one currency, whichever it is.

    ``cells_per_second`` turns work into CPU seconds. It is declared and not read from a clock: a
    replay on another machine has to come to the same decisions. A cell is one feature of one row
    at one level of one tree.
    """

    loss_worth: float = Field(gt=0)  # what 0.001 more of mean loss costs over 1,000 predictions
    cpu_hour: float = Field(gt=0)
    cells_per_second: float = Field(default=7e8, gt=0)
    max_wait: int = Field(default=8, ge=1, le=520)  # windows that due training may be put off

    def price(self, cells: float) -> float:
        """What so much work costs."""
        return cells / self.cells_per_second / 3600 * self.cpu_hour
