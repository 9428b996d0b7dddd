"""Records: bytes changed, and lines changed with every checksum right, packed or not."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from events import Decision, Event
from record.folder import record_path
from record.journal import Journal
from record.lines import SEAL_BYTES, Line, sealed
from record.past import at_start
from record.reader import Damage, Reader, glance, read
from tests.builders import SESSION, at
from tests.fuzz.case import Case
from tests.fuzz.mutate import odd_bytes, odd_object, odd_value, text_of
from tests.fuzz.texts import timed
from tests.made_record import FACTS, RULES
from tests.test_risk_manager import closed, opened
from tests.worker.test_session import desk


@functools.cache
def content(ends: str) -> bytes:
    """A small record that ends ``flat`` or ``open``."""
    with tempfile.TemporaryDirectory() as folder:
        record = Journal(record_path(Path(folder), SESSION.date))
        record.begin(RULES, SESSION, at(-300))
        made: list[Decision] = [opened()] if ends == "open" else [opened(), closed()]
        facts: list[Event] = FACTS[:5]
        for number, fact in enumerate(facts):
            record.append(at(number), fact, made[number : number + 1])
        record.close()
        return record.path.read_bytes()


@functools.cache
def lines_of(ends: str) -> list[Line]:
    """What is in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{SESSION.date}.jsonl"
        path.write_bytes(content(ends))
        return read(path).lines


class Records:
    """Records whose bytes were changed: what is read of one is what was written, up to where it breaks off."""

    name = "records"

    def make(self, source: random.Random) -> Case:
        """Returns a record's bytes."""
        ends, is_packed = source.choice(("open", "flat")), source.random() < 0.3
        text = content(ends)
        if source.random() < 0.5:
            texts = text.splitlines(keepends=True)
            place = source.randrange(len(texts))
            texts[place : place + 1] = source.choice(
                ([], texts[place : place + 1] * 2, [odd_bytes(source, texts[place])])
            )
            text = b"".join(texts)
        elif not is_packed:
            text = odd_bytes(source, text, source.choice((1, 1, 2)))
        if is_packed:
            text = gzip.compress(text, mtime=0)
            text = odd_bytes(source, text, 1) if source.random() < 0.7 else text
        return Case(self.name, (text,), {"ends": ends, "is_packed": is_packed})

    def check(self, case: Case) -> None:
        """Damage is said, or what is read is the beginning of what was written."""
        lines = lines_of(case.options["ends"])
        with tempfile.TemporaryDirectory() as folder:
            path = record_path(Path(folder), SESSION.date)
            path = path.with_name(path.name + ".gz") if case.options["is_packed"] else path
            path.parent.mkdir()
            path.write_bytes(case.pieces[0])
            try:
                record = read(path)
            except Damage as damage:
                assert damage.path == path and damage.line >= 1 and damage.reason
                return
            assert record.lines == lines[: len(record.lines)], "another state than was written"
            if len(record.lines) < len(lines):
                assert record.torn or is_cut(case, len(record.lines)), (
                    "lines are missing, and nothing says so"
                )


def is_cut(case: Case, count: int) -> bool:
    """Whether a record was cut between two lines: nobody can see that."""
    whole = content(case.options["ends"])
    found = gzip.decompress(case.pieces[0]) if case.options["is_packed"] else case.pieces[0]
    return found == b"".join(whole.splitlines(keepends=True)[:count])


class Resealed:
    """Records whose lines say something odd, with every checksum right, as a faulty version might have written them."""

    name = "resealed"

    def make(self, source: random.Random) -> Case:
        """Returns a record's lines without their checksums."""
        texts = [
            line[:-SEAL_BYTES] for line in content(source.choice(("open", "flat"))).splitlines(keepends=True)
        ]
        for _ in range(source.choice((1, 1, 2))):
            place = source.randrange(len(texts))
            texts[place] = odd_line(source, texts[place])
        return Case(self.name, tuple(texts), {})

    def check(self, case: Case) -> None:
        """A start says Damage, or goes on."""
        text, seed = b"", 0
        for piece in case.pieces:
            line, seed = sealed(piece, seed)
            text += line
        with tempfile.TemporaryDirectory() as place:
            path = record_path(Path(place), SESSION.date)
            path.parent.mkdir()
            path.write_bytes(text)
            timed(lambda: started(Path(place), path), len(text))
            after = path.read_bytes()
            assert after.startswith(text) or b"\0" in text or len(after) < len(text), (
                "a start has changed what was there"
            )


def odd_line(source: random.Random, text: bytes) -> bytes:
    """Returns a line with one thing changed."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, dict):
        return odd_object(source, found, 1)
    place = source.randrange(len(found))
    parts = [text_of(item) for item in found]
    item = found[place]
    if isinstance(item, dict) and source.random() < 0.8:
        parts[place] = odd_object(source, item, 1)
    elif isinstance(item, list) and item and isinstance(item[0], dict):
        parts[place] = b"[" + odd_object(source, item[0], 1) + b"]"
    else:
        parts[place] = odd_value(source, parts[place])
    return b"[" + b",".join(parts) + b"]"


def started(folder: Path, path: Path) -> None:
    """Does what a start does with a record. Raises nothing but what a start handles."""
    try:
        at_start(folder, SESSION.date)
        glance(path)
        asyncio.run(resumed(folder, path))
    except Damage as damage:
        assert damage.reason


async def resumed(folder: Path, path: Path) -> None:
    """Restores a session from a record, and goes on with it."""
    session, past = desk(folder, []), Reader(path)
    session.begin(at(100), past)
    session.resume(max(at(100), past.now), past)
    await session.end()
