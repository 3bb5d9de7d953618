"""The page headers of Parquet, read straight from the bytes (Thrift compact protocol).

>>> headers = walk_pages(data, start=4, length=120)                     # doctest: +SKIP

The decoder allocates what a page header says, whatever the footer says; so that is what bomb
defence has to read. Source: the format's ``parquet.thrift``, struct ``PageHeader``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratchet.errors import TooLarge, Unreadable

MAX_PAGES = 200_000  # of one column chunk
_MAX_DEPTH = 8
_DICTIONARY_PAGE = 2
_I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(4, 13)


@dataclass(frozen=True)
class PageHeader:
    """What one page claims: bytes on disk and once decompressed, values, encoding, checksum."""

    is_dictionary: bool
    uncompressed: int
    compressed: int
    values: int
    encoding: int
    has_crc: bool


def walk_pages(data: bytes, start: int, length: int) -> list[PageHeader]:
    """The headers of all pages in ``data[start:start + length]`` (one column chunk), in order.

    Raises:
        Unreadable: the bytes are no sequence of pages.
        TooLarge: more than ``MAX_PAGES`` pages.
    """
    end = start + length
    if start < 0 or length < 0 or end > len(data):
        raise Unreadable(
            f"Parquet is damaged: pages at bytes {start}-{end} of a file of {len(data)} bytes"
        )
    headers: list[PageHeader] = []
    while start < end:
        header, start = _header(data, start)
        headers.append(header)
        start += header.compressed
        if len(headers) > MAX_PAGES:
            raise TooLarge(f"more than {MAX_PAGES} pages in one column; write larger pages")
    if start != end:
        raise Unreadable("Parquet is damaged: the last page runs past its column")
    return headers


def _header(data: bytes, at: int) -> tuple[PageHeader, int]:
    try:
        fields, at = _struct(data, at, 0)
        inner = fields.get(5) or fields.get(8) or fields.get(7) or {}
        v2 = 5 not in fields and 8 in fields
        header = PageHeader(
            is_dictionary=fields[1] == _DICTIONARY_PAGE,
            uncompressed=fields[2],
            compressed=fields[3],
            values=inner.get(1, 0),
            encoding=inner.get(4 if v2 else 2, 0),
            has_crc=4 in fields,
        )
    except (IndexError, KeyError, AttributeError) as error:
        raise Unreadable(f"Parquet is damaged: no page header at byte {at}") from error
    if min(header.uncompressed, header.compressed, header.values) < 0:
        raise Unreadable(f"Parquet is damaged: negative size in the page header before byte {at}")
    return header, at


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _MAX_DEPTH:
        raise IndexError("nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while data[at]:
        kind, delta = data[at] & 15, data[at] >> 4
        at += 1
        if delta:
            number += delta
        else:
            number, at = _zigzag(data, at)
        fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (_I16, _I32, _I64):
        return _zigzag(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        size, at = _varint(data, at)
        return None, at + size
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    raise IndexError(f"type {kind} does not occur in page headers")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise IndexError("varint too long")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
