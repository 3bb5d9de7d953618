"""Sealed rows: kept from everything that learns or chooses, and read by the gate's last check.

The secret that decides which rows they are is drawn once and kept beside what landed, where no
sender of rows can read it and every replay finds it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ratchet import gate as core
from ratchet.contracts.columns import EVENT, KEY, SEAL, WINDOW, seal_schema
from ratchet.contracts.evidence import Evidence
from ratchet.contracts.score import predict
from ratchet.contracts.sealed import Seal
from ratchet.contracts.seams import Append, Tables
from tasks.cycle import Cycle
from tasks.labelled import labelled

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.bundle import Bundle
    from tasks.workspace import Workspace

NO_SEAL = Seal(b"", 0.0)


def seal_of(workspace: Workspace, share: float | None = None) -> Seal:
    """What decides which rows are sealed; ``share`` instead of the declared one, for old models."""
    if share is None:
        declared = workspace.definition.sealed
        share = declared.share if declared else 0.0
    return Seal(workspace.seal_secret, share) if share else NO_SEAL


def drawn_once(tables: Tables) -> bytes:
    """The secret of these tables, drawn at the first call.

    Of two first calls at once the first to commit counts for both.
    """
    import pyarrow as pa

    if tables.version(SEAL) < 0:
        drawn = {WINDOW: 0, "secret": secrets.token_hex(32)}
        tables.append(Append(SEAL, pa.Table.from_pylist([drawn], seal_schema()), "seal"))
    return bytes.fromhex(tables.read(SEAL, ["secret"])["secret"][0].as_py())


def sealed_mask(workspace: Workspace, rows: pa.Table) -> NDArray[np.bool_]:
    """Shape (rows,): which are sealed; none where the pipeline declares no ``[sealed]``."""
    import numpy as np

    seal = seal_of(workspace)
    if not seal.share or not rows.num_rows:
        return np.zeros(rows.num_rows, dtype=bool)
    return seal.mask(rows[KEY])


def unsealed_of(workspace: Workspace, rows: pa.Table) -> pa.Table:
    """The rows that are not sealed."""
    return seal_of(workspace).without(rows)


def read_sealed(cycle: Cycle, held: core.GateInput) -> list[Evidence]:
    """Let sealed rows confirm a candidate that passed every other check; enters what it cost.

    Args:
        cycle: its ``ledger`` is charged where rows were read.
        held: what the gate judged on: the other rows of the same windows.
    """
    import pyarrow as pa

    workspace, cut = cycle.workspace, cycle.judged_cut()
    if workspace.definition.sealed is None or cycle.chosen is None:
        return []
    account = core.Account.from_json(cycle.ledger.get("sealed", {}))
    rows, labels = _sealed_holdout(cycle)
    spent = cut.holdout_from if account.read_before is None else account.read_before
    unread = rows[EVENT].to_numpy() >= spent
    fresh, labels = rows.filter(pa.array(unread)), labels[unread]
    candidate, champion = cycle.candidates[cycle.chosen], cycle.champion_bundle
    calendar = workspace.calendar
    request = core.SealedInput(
        y=labels,
        candidate=_scores(candidate, fresh),
        champion=_scores(champion, fresh) if champion else None,
        held=held,
        spent=rows.num_rows - fresh.num_rows,
        read_before=cut.holdout_before,
        fresh_from=calendar.label(calendar.window_of(cut.holdout_before)),
        slices={name: fresh[name] for name in workspace.definition.gate.slices},
        gains=_gains(champion, candidate) if champion else {},
    )
    found, account = core.judge_sealed(request, account, workspace.definition)
    cycle.ledger["sealed"] = account.as_json()
    return found


def _gains(champion: Bundle, candidate: Bundle) -> dict[str, tuple[float, float]]:
    before, after = champion.manifest.gains, candidate.manifest.gains
    return {name: (before.get(name, 0.0), share) for name, share in after.items()}


def _scores(bundle: Bundle, rows: pa.Table) -> NDArray[np.float64]:
    import numpy as np

    return predict(bundle, rows) if rows.num_rows else np.empty(0)


def _sealed_holdout(cycle: Cycle) -> tuple[pa.Table, NDArray[np.float64]]:
    """Sealed rows of the held-out windows that have a label, and the labels."""
    import numpy as np
    import pyarrow as pa

    calendar, cut = cycle.workspace.calendar, cycle.judged_cut()
    first, last = (calendar.window_of(t).index for t in (cut.holdout_from, cut.holdout_before - 1))
    rows, labels = labelled(cycle, cycle.window, (first, last), None, revoked=False)
    events = rows[EVENT].to_numpy()
    kept = (events >= cut.holdout_from) & (events < cut.holdout_before) & np.isfinite(labels)
    kept &= sealed_mask(cycle.workspace, rows)
    return rows.filter(pa.array(kept)).combine_chunks(), labels[kept]
