"""The format of a record: what a line holds, and the checksum that seals it to the line before."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from events import Decision, Event, Session

SCHEMA = 1
"""Version of the record's format. A reader refuses what it does not know."""

SEAL = b" %08x\n"
"""A line ends with a blank, its checksum in hexadecimal, and a newline."""

SEAL_BYTES = len(SEAL % 0)

ARRAY = b"["
"""What a fact's line begins with; a header's does not."""


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header"):
    """The first line of a record, and one more at every later start. ``now`` is µs of UTC."""

    schema: int
    version: str
    rules: dict[str, Any]
    rules_hash: str
    session: Session
    now: int
    pid: int


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact: when it was handled (µs of UTC), its arrival number, the fact, and the decisions it caused."""

    now: int
    number: int
    event: Event
    decisions: tuple[Decision, ...] = ()


class Bare(msgspec.Struct, frozen=True, array_like=True):
    """An `Entry` without decisions, as most are: written shorter, read as the same."""

    now: int
    number: int
    event: Event


Line = Header | Entry

encode = msgspec.json.Encoder().encode
decode_header = msgspec.json.Decoder(Header).decode
decode_entry = msgspec.json.Decoder(Entry).decode


def sealed(text: bytes, seed: int) -> tuple[bytes, int]:
    """Returns a line of the record with its checksum, and that checksum: the seed of the next."""
    crc = zlib.crc32(text, seed)
    return text + SEAL % crc, crc


def is_sealed(line_and_crc: tuple[bytes, int]) -> bool:
    """Returns whether a line ends with the seal of its checksum."""
    line, crc = line_and_crc
    return line[-SEAL_BYTES:] == SEAL % crc
