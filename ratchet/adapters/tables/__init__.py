"""Versioned tables with atomic, idempotent appends (Delta Lake), in a directory or on S3.

>>> from ratchet.adapters.tables import open_tables                   # doctest: +SKIP
>>> open_tables(".ratchet/tables/flights", settings()).version("landed")   # doctest: +SKIP
12

=============  ==================================================================
``delta``      :class:`DeltaTables`: append, read, version, committed, collect
``log``        the commit log: what is committed, and whether all of it is there
``parts``      one Parquet file: bytes to rows and back, checked by digest
``files``      where the bytes lie: a directory or a bucket
``opening``    :func:`open_tables`: refuses unsafe roots and stores
=============  ==================================================================
"""

from ratchet.adapters.s3 import probe_conditional_writes
from ratchet.adapters.tables.delta import DeltaTables
from ratchet.adapters.tables.opening import open_tables

__all__ = ["DeltaTables", "open_tables", "probe_conditional_writes"]
