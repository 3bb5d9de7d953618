"""What a Parquet file is made of, read straight from its bytes: column chunks and page headers.

>>> groups = read_footer(data)                                          # doctest: +SKIP
>>> headers = walk_pages(data, groups[0].chunks[0])                     # doctest: +SKIP

Two reasons not to ask the decoder. It allocates what a page header says, whatever the footer says,
so the page headers are what bomb defence has to read. And its own view of a damaged footer
(``FileMetaData.row_group``) was seen to end the process with SIGABRT. Source: ``parquet.thrift`` of
the Parquet format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest.thrift import read_struct

MAX_FOOTER = 32 * 2**20
MAX_PAGES = 200_000  # of one column chunk
INT96, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY = 3, 6, 7  # physical types
DELTA_BYTE_ARRAY = 7  # an encoding
_DICTIONARY_PAGE = 2
_MAGIC = b"PAR1"


@dataclass(frozen=True)
class Chunk:
    """One column of one row group: its path, how it is stored, and where its pages are."""

    path: tuple[str, ...]
    physical_type: int
    type_length: int
    values: int
    start: int
    length: int


@dataclass(frozen=True)
class Group:
    """One row group."""

    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class PageHeader:
    """What one page claims: bytes on disk and once decompressed, values, encoding, checksum."""

    is_dictionary: bool
    uncompressed: int
    compressed: int
    values: int
    encoding: int
    has_crc: bool


def read_footer(data: bytes) -> list[Group]:
    """The row groups of a Parquet file.

    Raises:
        Unreadable: truncated or damaged.
        TooLarge: a footer over ``MAX_FOOTER``.
    """
    size = int.from_bytes(data[-8:-4], "little")
    if len(data) < 12 or data[:4] != _MAGIC or data[-4:] != _MAGIC or size > len(data) - 12:
        raise Unreadable(
            f"not a whole Parquet file: {len(data)} bytes; it may be truncated: send it again"
        )
    if size > MAX_FOOTER:
        raise TooLarge(f"a footer of {size} bytes, allowed are {MAX_FOOTER}; write larger pages")
    fields, _ = read_struct(data[-8 - size : -8], 0)
    try:
        lengths = {_text(s[4]): s.get(2, 0) for s in fields[2]}
        return [_group(g, lengths) for g in fields[4]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(f"Parquet is damaged: its footer: {error!r}; send it again") from error


def _group(fields: dict[int, Any], lengths: dict[str, int]) -> Group:
    return Group(_count(fields[3]), tuple(_chunk(c, lengths) for c in fields[1]))


def _chunk(fields: dict[int, Any], lengths: dict[str, int]) -> Chunk:
    if 1 in fields:
        raise ValueError("a column is kept in another file")
    meta = fields[3]
    path = tuple(_text(part) for part in meta[3])
    start = _count(meta[9])
    if meta.get(11):
        start = min(start, _count(meta[11]))
    values, length = _count(meta[5]), _count(meta[7])
    return Chunk(path, _count(meta[1]), _count(lengths.get(path[-1], 0)), values, start, length)


def _text(value: Any) -> str:
    return str(bytes(value), "utf-8")


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} where a count is expected")
    return value


def walk_pages(data: bytes, chunk: Chunk) -> list[PageHeader]:
    """The headers of all pages of a column chunk, in order.

    Raises:
        Unreadable: the bytes are no sequence of pages.
        TooLarge: more than ``MAX_PAGES`` pages.
    """
    at, end = chunk.start, chunk.start + chunk.length
    if end > len(data):
        raise Unreadable(
            f"Parquet is damaged: pages at bytes {at}-{end} of a file of {len(data)} bytes"
        )
    headers: list[PageHeader] = []
    while at < end:
        fields, at = read_struct(data, at)
        headers.append(_page(fields, at))
        at += headers[-1].compressed
        if len(headers) > MAX_PAGES:
            raise TooLarge(f"more than {MAX_PAGES} pages in one column; write larger pages")
    if at != end:
        raise Unreadable("Parquet is damaged: the last page runs past its column")
    return headers


def _page(fields: dict[int, Any], at: int) -> PageHeader:
    inner: Any = fields.get(5) or fields.get(8) or fields.get(7) or {}
    v2 = 5 not in fields and 8 in fields
    try:
        return PageHeader(
            is_dictionary=fields[1] == _DICTIONARY_PAGE,
            uncompressed=_count(fields[2]),
            compressed=_count(fields[3]),
            values=_count(inner.get(1, 0)),
            encoding=_count(inner.get(4 if v2 else 2, 0)),
            has_crc=4 in fields,
        )
    except (KeyError, AttributeError, ValueError) as error:
        raise Unreadable(f"Parquet is damaged: page header before byte {at}: {error!r}") from error
