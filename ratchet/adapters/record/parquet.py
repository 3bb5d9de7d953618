"""A source of record in Parquet: one file, or a directory of files with the same columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.definition import Definition


class ParquetRecord:
    """Reads only the row groups that a look-up needs."""

    def __init__(self, definition: Definition, home: Path) -> None:
        assert definition.record is not None  # noqa: S101  the caller looked
        self._path = home / definition.record.uri
        self._definition = definition

    def lookup(self, keys: Sequence[str]) -> pa.Table:
        """See :class:`ratchet.contracts.seams.SourceOfRecord`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = [key.split("|") for key in keys]
        names = self._definition.source.key

        def wanted(dataset: Any) -> Any:
            out = pc.scalar(True)
            for i, name in enumerate(names):
                column = dataset.schema.field(name).type
                values = pa.array([p[i] for p in parts if len(p) == len(names)], pa.string())
                out = out & pc.field(name).isin(pc.cast(values, column))
            return out

        return self._read(wanted)

    def sample(self, start: int, end: int, rows: int, seed: int) -> pa.Table:
        """See :class:`ratchet.contracts.seams.SourceOfRecord`."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        time = self._definition.time.column

        def wanted(dataset: Any) -> Any:
            kind = dataset.schema.field(time).type
            first, last = (self._moment(t, kind) for t in (start, end))
            return (pc.field(time) >= first) & (pc.field(time) < last)

        found = self._read(wanted)
        chosen = np.random.default_rng(seed).permutation(found.num_rows)[:rows]
        return found.take(pa.array(np.sort(chosen)))

    def _moment(self, tick: int, kind: Any) -> Any:
        import pyarrow as pa

        if pa.types.is_integer(kind):
            return pa.scalar(tick, kind)
        if pa.types.is_timestamp(kind) and self._definition.time.kind == "timestamp":
            return pa.scalar(tick, pa.timestamp("us", kind.tz)).cast(kind)
        raise StorageError(
            f"record {self._path}: {self._definition.time.column} is {kind}; a sample needs "
            "a timestamp or an integer there"
        )

    def _read(self, wanted: Any) -> pa.Table:
        import pyarrow as pa
        import pyarrow.dataset as ds

        definition = self._definition
        names = [*definition.source.key, definition.time.column, *definition.features]
        names.append(definition.label.column)
        try:
            dataset = ds.dataset(self._path, format="parquet")
            missing = [n for n in names if n not in dataset.schema.names]
            if missing:
                raise StorageError(f"record {self._path}: columns missing: {missing}")
            return dataset.to_table(columns=list(dict.fromkeys(names)), filter=wanted(dataset))
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"record {self._path}: cannot be read: {error}") from error
