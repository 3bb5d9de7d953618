"""Which rows may be taught before their labels are mature, and which are kept to judge pupils on.

Of the rows that wait for their labels half may be taught, by a keyed hash of the key. Once labels
are there, the champion is not judged on rows that it was taught: of these it was told what its
teacher thinks, if not the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.contracts.columns import EVENT, KEY
from ratchet.contracts.sealed import Seal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.bundle import Bundle
    from tasks.workspace import Workspace

SHARE = 0.5


def teachable(workspace: Workspace, rows: pa.Table) -> pa.Table:
    """The rows that may be taught."""
    import pyarrow as pa

    return rows.filter(pa.array(_half(workspace).mask(rows[KEY]))) if rows.num_rows else rows


def untaught(workspace: Workspace, bundle: Bundle | None, rows: pa.Table) -> NDArray[np.bool_]:
    """Shape (rows,): all but those whose pseudo-labels count in what the bundle says.

    A member without weight counts for nothing.
    """
    import numpy as np

    kept = np.ones(rows.num_rows, dtype=bool)
    members = bundle.manifest.lineage.members if bundle else ()
    spans = [(m.pseudo_from, m.as_of) for m in members if m.pseudo_rows and m.weight > 0]
    if not spans or not rows.num_rows:
        return kept
    events = rows[EVENT].to_numpy()
    for since, before in spans:
        kept &= (events < since) | (events >= before)
    return kept | ~_half(workspace).mask(rows[KEY])


def _half(workspace: Workspace) -> Seal:
    """Of the same secret as the sealed rows, but not the same rows."""
    return Seal(workspace.seal_secret + b"/taught", SHARE)
