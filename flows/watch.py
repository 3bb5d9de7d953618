"""Between two cycles: is the live model still as good as we believed?

>>> watch("flights")                                                  # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter

from prefect import State, flow
from prefect.states import Completed

from flows.forms import Pipeline
from ratchet.contracts.evidence import Verdict
from ratchet.watch import state
from tasks import notify, observe, show
from tasks import watch as stage
from tasks.progress import announce
from tasks.workspace import open_workspace

QUIET = (Verdict.PASS, Verdict.INCONCLUSIVE)


@flow(
    name="watch",
    flow_run_name="{pipeline} watch",
    persist_result=False,
    retries=2,
    retry_delay_seconds=60,
)
@observe.observed
def watch(pipeline: Pipeline) -> State[dict[str, int]]:
    """Ask what serves, whether it loads, whether it is still better than the champion before.

    Ends *Completed*, *Degraded* (something is late or broken) or *Blocked* (the champion was moved
    by hand, or is shown to be worse). With ``watch.rollback`` a worse champion goes back.

    Args:
        pipeline: The name of a file in pipelines/, without .toml.
    """
    workspace = open_workspace(pipeline)
    found = stage.watch(workspace)
    back = stage.act(workspace, found)
    if back:
        announce(back)
    notify.tell(workspace)
    loud = [e.arithmetic for e in found if e.verdict not in QUIET]
    said = "; ".join([*(back.reasons if back else ()), *loud]) or "all is well"
    show.entitle(f"{pipeline} watch", sorted({e.check for e in found if e.verdict not in QUIET}))
    checks = [
        {"check": e.check, "verdict": e.verdict.value, "arithmetic": e.arithmetic} for e in found
    ]
    show.summary_table(pipeline, checks, said)
    counts = dict(Counter(e.verdict.value for e in found))
    return Completed(name=state(found), message=said[:1000], data=counts)
