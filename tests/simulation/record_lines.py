"""The lines of a record as the disk saw them: what they say, when they were written, and when they were safe.

Decodes the record apart from the worker's code: JSON, a blank, and a CRC-32 seeded with the line before's.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.story import DiskAction, DiskEvent, Story

SEAL_BYTES = len(b" 01234567")

Decision = dict[str, Any]


@dataclass(slots=True)
class Line:
    """A line of the record: a fact with its decisions, or a header (``number`` is 0)."""

    at: int
    """When it was whole in a file, µs of true time. 0 for a line of before the story."""
    life: int
    """Who wrote it; -1 for a line of before the story."""
    now: int
    """The worker's time in it, µs."""
    number: int
    event: dict[str, Any]
    decisions: list[Decision]
    crc: int
    safe_at: int | None = None
    """When it was on the disk; None: never. 0 for a line of before the story."""

    @property
    def kind(self) -> str:
        """The type of its fact, such as ``bar``; ``header`` for a header."""
        return str(self.event.get("type", ""))


@dataclass(slots=True)
class _File:
    """A file of the record while it is written."""

    size: int = 0
    tail: bytes = b""
    crc: int | None = 0
    """None: unknown, because the story has not seen how the file came to be."""
    unsafe: list[Line] = field(default_factory=list)
    ends: list[tuple[int, int | None]] = field(default_factory=list)
    """Where each line that the story has seen begins, and the checksum that it is seeded with."""


class Damaged(ValueError):
    """A whole line in a file is no line of a record."""


def parsed(text: bytes, seed: int | None, at: int, life: int) -> Line:
    """Returns one line of a record, without its newline. Raises Damaged."""
    body, seal = text[:-SEAL_BYTES], text[-SEAL_BYTES:]
    try:
        crc = int(seal, 16) if seed is None else zlib.crc32(body, seed)
    except ValueError as error:
        raise Damaged(f"it has no checksum: {text[:80]!r}") from error
    if seal != b" %08x" % crc:
        raise Damaged(f"its checksum does not fit: {text[:80]!r}")
    try:
        said = json.loads(body)
    except ValueError as error:
        raise Damaged(f"it is no JSON: {text[:80]!r}") from error
    if isinstance(said, dict):
        return Line(at, life, int(said["now"]), 0, said, [], crc)
    now, number, event, *rest = said
    return Line(at, life, now, number, event, list(rest[0]) if rest else [], crc)


def sealed(said: Any, seed: int) -> tuple[bytes, int]:
    """Returns a line as a record has it, and its checksum, which seeds the next line's."""
    body = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    crc = zlib.crc32(body, seed)
    return body + b" %08x\n" % crc, crc


def lines_of(story: Story) -> tuple[list[Line], list[tuple[int, str]]]:
    """Returns the record's lines in the order in which they were written, and what is damaged: when, and how.

    A line that was copied to a new file is the one that it was, and is safe when the first of its files is.
    """
    made = _Reading(story.record.name)
    if story.warm_bytes:
        made.warm(_warm(story))
    for event in sorted(story.disk, key=lambda event: (event.at, event.done_at or event.at)):
        made.take(event)
    made.settle()
    return sorted(made.lines.values(), key=lambda line: (line.at, line.number)), made.damage


def _warm(story: Story) -> bytes:
    """What the record held before the story. A fault may have moved its file to another name or folder."""
    for path in (story.record, *sorted(story.folder.rglob("*"))):
        if path.is_file() and path.stat().st_size >= story.warm_bytes:
            data = path.read_bytes()[: story.warm_bytes]
            if data.startswith(b'{"type":"header"') and data.endswith(b"\n"):
                return data
    return b""


@functools.lru_cache(maxsize=4)
def warm_lines(data: bytes) -> tuple[tuple[Line, ...], int]:
    """The lines of a record that was there before a story, and the last one's checksum. Kept: many stories begin alike.

    Raises Damaged.
    """
    lines: list[Line] = []
    crc = 0
    for text in data.splitlines():
        line = parsed(text, crc, 0, -1)
        line.safe_at, crc = 0, line.crc
        lines.append(line)
    return tuple(lines), crc


class _Reading:
    """Follows what is done to a record's files."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._files: dict[str, _File] = {}
        self._syncs: list[tuple[int, list[Line]]] = []
        self.lines: dict[tuple[int, int, int], Line] = {}
        self.damage: list[tuple[int, str]] = []

    def warm(self, data: bytes) -> None:
        """Takes what was in the record before the story."""
        lines, crc = warm_lines(data)
        self._files[self._name] = _File(len(data), b"", crc)
        self.lines.update(((line.now, line.number, line.crc), line) for line in lines)

    def take(self, event: DiskEvent) -> None:
        """Takes the next thing that was done."""
        file = self._files.setdefault(event.name, _File())
        starts_at = event.action in (DiskAction.OPEN, DiskAction.WRITE) and not event.error
        if starts_at and event.offset != file.size:  # another file has this name now
            file = self._files[event.name] = self._of_size(event.offset)
        match event.action:
            case DiskAction.WRITE if event.data:
                self._add(file, event.data, event.at, event.life)
            case DiskAction.TRUNCATE if not event.error:
                self._cut(file, event.offset)
            case DiskAction.SYNC if not event.error and event.done_at is not None:
                self._syncs.append((event.done_at, file.unsafe))
                file.unsafe = []
            case _:
                pass

    def settle(self) -> None:
        """Says of each line when it was safe."""
        for done_at, lines in self._syncs:
            for line in lines:
                line.safe_at = done_at if line.safe_at is None else min(line.safe_at, done_at)

    def _of_size(self, size: int) -> _File:
        """The file of that size: a new one, or one that was renamed."""
        if not size:
            return _File()
        found = [file for file in self._files.values() if file.size == size]
        return found[-1] if found else _File(size, b"", None)

    def _cut(self, file: _File, size: int) -> None:
        """What a write has left that failed is cut off: a torn line, and the whole ones before it, which come again."""
        while file.ends and file.ends[-1][0] >= size:
            begin, file.crc = file.ends.pop()
            file.size, file.tail = begin, b""
        file.tail = file.tail[: len(file.tail) - max(0, file.size - size)]
        file.size = size

    def _add(self, file: _File, data: bytes, at: int, life: int) -> None:
        begin = file.size - len(file.tail)
        file.size += len(data)
        *whole, file.tail = (file.tail + data).split(b"\n")
        for text in whole:
            file.ends.append((begin, file.crc))
            begin += len(text) + 1
            try:
                line = parsed(text, file.crc, at, life)
            except Damaged as error:
                self.damage.append((at, str(error)))
                continue
            file.crc = line.crc
            key = line.now, line.number, line.crc
            file.unsafe.append(self.lines.setdefault(key, line))


def decided(lines: Iterable[Line], *kinds: str) -> Iterator[tuple[Line, Decision]]:
    """The decisions of these kinds, each with its line."""
    for line in lines:
        for decision in line.decisions:
            if decision["type"] in kinds:
                yield line, decision
