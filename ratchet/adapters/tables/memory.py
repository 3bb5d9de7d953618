"""Columns of files that were read before, the last read kept: a cycle reads the same ones often.

>>> kept = Columns(most=2**20)                                        # doctest: +SKIP
>>> kept.put("accepted/_window=3/part-5f0c.parquet", table)           # doctest: +SKIP
>>> sorted(kept.get("accepted/_window=3/part-5f0c.parquet"))          # doctest: +SKIP
['_key', 'size']

A file never changes once it is committed, and its digest was checked before it was decoded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class Columns:
    """Decoded columns by file, ``most`` bytes of them; those of the file last asked for stay."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: OrderedDict[str, dict[str, pa.ChunkedArray]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> Mapping[str, pa.ChunkedArray]:
        """The columns of a file that are kept, by name."""
        with self._lock:
            if path not in self._files:
                return {}
            self._files.move_to_end(path)
            return dict(self._files[path])

    def put(self, path: str, table: pa.Table) -> None:
        """Keep these columns too, if a file's may take up so much."""
        if table.nbytes > self._most // 4:
            return
        with self._lock:
            file = self._files.setdefault(path, {})
            for name, column in zip(table.column_names, table.columns, strict=True):
                if name not in file:
                    file[name] = column
                    self._size += column.nbytes
            self._files.move_to_end(path)
            while self._size > self._most:
                _, oldest = self._files.popitem(last=False)
                self._size -= sum(column.nbytes for column in oldest.values())
