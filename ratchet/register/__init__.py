"""register: what exactly is this model, and who is champion now?

>>> decide([passed], [unsure], rows_in=6500)                          # doctest: +SKIP
('held', ('improvement 0.0004, lower bound -0.0010 <= 0: cannot tell',))

Its promise: nothing is promoted without evidence that lets it through; a promotion that was cut
off at any point is completed or undone, and either way exactly one gated champion serves.
"""

from ratchet.register.decide import decide, largest_sources, same_scores
from ratchet.register.describe import PAGE_LIMIT, describe, plain
from ratchet.register.ending import Ending, ending
from ratchet.register.estimate import estimate
from ratchet.register.evidence_tables import PAGES
from ratchet.register.page import decision_page
from ratchet.register.recover import Action, SetAlias, WriteDone, recover, unfinished
from ratchet.register.rows import (
    Entry,
    Kind,
    Phase,
    curve_metrics,
    decision_row,
    decisions_from,
    incident_row,
    run_metrics,
    run_params,
    version_tags,
    watch_incident_row,
)

__all__ = [
    "PAGES",
    "PAGE_LIMIT",
    "Action",
    "Ending",
    "Entry",
    "Kind",
    "Phase",
    "SetAlias",
    "WriteDone",
    "curve_metrics",
    "decide",
    "decision_page",
    "decision_row",
    "decisions_from",
    "describe",
    "ending",
    "estimate",
    "incident_row",
    "largest_sources",
    "plain",
    "recover",
    "run_metrics",
    "run_params",
    "same_scores",
    "unfinished",
    "version_tags",
    "watch_incident_row",
]
