"""Which rows are sealed: nothing trains, tunes or chooses on them, and each is read once.

>>> import pyarrow as pa
>>> seal = Seal(secret=b"not to be guessed", share=0.25)
>>> seal.mask(pa.array(["a", "b", "c", "d", "e", "f", "g", "h"])).tolist()
[False, False, False, False, True, True, False, False]

Promise: a row's key and the secret alone decide, so a replay seals the same rows; whoever chooses
keys or values without the secret cannot choose which rows are sealed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from ratchet.contracts.columns import KEY
from ratchet.contracts.defence import Part, Share

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


class Sealed(Part):
    """How many rows are sealed, and what the decisions that read them may risk together."""

    share: float = Field(default=0.1, gt=0, le=0.5)  # of all rows
    alpha: float = Field(default=0.05, gt=0, lt=0.5)  # a worse candidate is ever let through
    margin: float = Field(default=0.02, ge=0, lt=1)  # worse: by more than this share of the loss
    min_rows: int = Field(default=200, ge=50)  # fewer unread sealed rows are not read
    gain_jump: Share = 0.3  # a feature's share of the gain, against the champion's: a shortcut?


@dataclass(frozen=True)
class Seal:
    """What decides about each row.

    Attributes:
        secret: at most 64 bytes; nobody who sends rows may know it.
        share: of all rows that are sealed; 0 seals none.
    """

    secret: bytes = field(repr=False)
    share: float

    def mask(self, keys: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
        """Shape (rows,): which of these keys (strings) are sealed.

        Keyed BLAKE2b of the key, read as a number below 2^64 (RFC 7693): 1.2 s for a million keys.
        """
        import numpy as np

        blake, secret = hashlib.blake2b, self.secret
        found = [
            blake(key.encode(), key=secret, digest_size=8).digest() for key in keys.to_pylist()
        ]
        numbers = np.frombuffer(b"".join(found), dtype="<u8")
        return np.asarray(numbers < np.uint64(int(self.share * 2**64)))

    def without(self, rows: pa.Table) -> pa.Table:
        """The rows of a table that are not sealed, by its column of keys."""
        import pyarrow as pa

        if not self.share or not rows.num_rows:
            return rows
        return rows.filter(pa.array(~self.mask(rows[KEY])))
