"""A made record, what was decided in it, and how a forged one is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from events import SECOND, Decision, FeedCause, FeedLost, Tick
from record.lines import Entry
from record.reader import Reader
from review.derive import Handled, play
from rules import Rules
from tests.builders import SESSION, at
from tests.made_day import BEGIN_S, END_S, Made
from tests.made_record import Edit, resealed
from tests.measured import measured

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A session with a BUY and its SELL, and a restart with other rules between the two."""
    path = tmp_path_factory.mktemp("record") / "2025-10-02.jsonl"
    story = Made(path)
    story.start(SESSION.open + BEGIN_S * SECOND)
    story.go(BEGIN_S - 1_300, BEGIN_S, 2_330)
    assert story.engine is not None and story.engine.position is not None
    story.journal.close()
    story.start(SESSION.open + 2_360 * SECOND, Rules(stop_loss_percent=14.0))
    story.tell(SESSION.open + 2_360 * SECOND, FeedLost(cause=FeedCause.NOT_CONNECTED))
    story.go(2_300, 2_361, END_S)
    story.journal.close()
    return story


def recorded(path: Path) -> list[tuple[Decision, ...]]:
    """What each fact of a record caused."""
    return [line.decisions for line in Reader(path) if isinstance(line, Entry)]


def derived(path: Path, sets: dict[str, str] | None = None) -> list[tuple[Decision, ...]]:
    """The same, decided again."""
    return [tuple(item.decisions) for item in play(path, sets) if isinstance(item, Handled)]


def rewritten(path: Path, folder: Path, edit: Edit, *, seal: bool) -> Path:
    """A copy with its texts edited. ``seal`` mends every checksum, as somebody who knows the format would."""
    copy = folder / "copy.jsonl"
    if seal:
        return resealed(path, copy, edit)
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    copy.write_bytes(b"".join(lines))
    return copy


def line_of(path: Path, holds: Callable[[Entry], bool]) -> int:
    """The index of the first line whose fact is as asked."""
    return next(index for index, line in enumerate(Reader(path)) if isinstance(line, Entry) and holds(line))


def has(kind: type[Decision]) -> Callable[[Entry], bool]:
    """Whether a fact caused such a decision."""
    return lambda entry: any(isinstance(decision, kind) for decision in entry.decisions)


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "review", *arguments],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **measured(), **(env or {})},
    )


def drop(index: int) -> Edit:
    """Leave a line out."""

    def edit(lines: list[bytes]) -> None:
        del lines[index]

    return edit


def record_in(folder: Path, name: str = "2025-10-02.jsonl") -> Path:
    """A small good record: three seconds of the made day."""
    story = Made(folder / "sessions" / name)
    story.start(SESSION.open)
    for second in range(1, 4):
        story.tell(at(second), Tick())
    story.journal.close()
    return story.path


def resealed_as_simulated(path: Path, copy: Path) -> Path:
    """A copy of a record whose header says that its market was a simulated one."""

    def edit(lines: list[bytes]) -> None:
        lines[0] = lines[0].removesuffix(b"}") + b',"simulated":true}'

    return resealed(path, copy, edit)
