"""Thrift's compact protocol, as far as Parquet uses it: structs as dicts by field number.

>>> read_struct(b"\\x15\\x06\\x00", 0)
({1: 3}, 3)

Promise: any bytes give a value or :class:`Unreadable`, in time and memory that their length bounds.
"""

from __future__ import annotations

from typing import Any

from ratchet.errors import Unreadable

_MAX_DEPTH = 16
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def read_struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """The struct that starts at ``data[at]``, and where it ends.

    Integers come as ``int``, binaries as ``bytes``, structs as dicts, lists and sets as lists.

    Raises:
        Unreadable: the bytes are no struct.
    """
    try:
        return _struct(data, at, 0)
    except (IndexError, ValueError) as error:
        raise Unreadable(f"Parquet is damaged: metadata near byte {at}: {error}") from error


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _zigzag(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        if size > len(data) - at:
            raise ValueError("text longer than the file")
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, at, depth + 1)
    if kind in (_BYTE, _TRUE, _FALSE):  # inside a list a boolean takes a byte
        return data[at], at + 1
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    raise ValueError(f"type {kind} is unknown")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    head, at = data[at], at + 1
    size, kind = head >> 4, head & 15
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data) - at:  # each element takes a byte or more
        raise ValueError("list longer than the file")
    values = []
    for _ in range(size):
        value, at = _value(data, at, kind, depth)
        values.append(value)
    return values, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("number too long")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
