"""The format of a record: what a line holds, and the checksum that chains it to the previous line."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from events import Decision, Event, Session

SCHEMA = 1
"""Version of the record's format. A reader refuses any other."""

SEAL = b" %08x\n"
"""The end of a line: a blank, its checksum in hexadecimal, and a newline."""

SEAL_BYTES = len(SEAL % 0)

ARRAY = b"["
"""First byte of a fact's line. A header's line begins otherwise."""


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="header"):
    """What each start of the program writes first. ``rules`` are by name, ``now`` is µs of UTC.

    ``simulated`` is whether the market was a simulated one. Only then does it stand in the file: the record of a real session
    is the same, byte for byte, as before the field existed.
    """

    schema: int
    version: str
    rules: dict[str, Any]
    rules_hash: str
    session: Session
    now: int
    pid: int
    simulated: bool = False


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact: the time it was handled (µs of UTC), its arrival number, the fact, and the decisions it caused."""

    now: int
    number: int
    event: Event
    decisions: tuple[Decision, ...] = ()


class Bare(msgspec.Struct, frozen=True, array_like=True):
    """An `Entry` without decisions, as most are. It is shorter in the file, and decodes as an `Entry`."""

    now: int
    number: int
    event: Event


Line = Header | Entry

encode = msgspec.json.Encoder().encode
decode_header = msgspec.json.Decoder(Header).decode
decode_entry = msgspec.json.Decoder(Entry).decode


def sealed(text: bytes, seed: int) -> tuple[bytes, int]:
    """Returns a line of the record with its checksum, and that checksum, which seeds the next line's."""
    crc = zlib.crc32(text, seed)
    return text + SEAL % crc, crc


def is_sealed(line_and_crc: tuple[bytes, int]) -> bool:
    """Returns whether a line ends with its checksum."""
    line, crc = line_and_crc
    return line[-SEAL_BYTES:] == SEAL % crc
