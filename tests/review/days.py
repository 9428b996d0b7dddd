"""A made day in a folder, its study, and days made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from events import SECOND, Condition, Session
from review.keeper import read
from review.study import Study
from review.why import main
from tests.builders import SESSION, at
from tests.made_day import BEGIN_S, END_S, Made
from tests.review.studies import study_of

ROOT = Path(__file__).parent.parent.parent

EVENING = SESSION.close + 3_600 * SECOND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with the record of a session that had a BUY and its SELL."""
    place = tmp_path_factory.mktemp("data")
    story = Made(place / "sessions" / "2025-10-02.jsonl")
    story.path.parent.mkdir()
    story.start(at(BEGIN_S))
    story.go(BEGIN_S - 1_300, BEGIN_S, END_S)
    story.journal.close()
    return place


@pytest.fixture(scope="module")
def day(folder: Path) -> Study:
    """The same, read."""
    return read(folder / "sessions" / "2025-10-02.jsonl", now=EVENING)


def whole(path: Path, *rows: object, session: Session = SESSION, until: int | None = None) -> Study:
    """A session that was watched from the open to the close, with these evaluations."""
    study = study_of(path, *rows)  # type: ignore[arg-type]
    study.session = session
    study.until = session.close if until is None else until
    study.asked_at = session.close + SECOND if until is None else until
    return study


def run(capsys: pytest.CaptureFixture[str], *arguments: object, now: int = EVENING) -> tuple[int, str, str]:
    """The command: its status and what it printed."""
    status = main([str(argument) for argument in arguments], now)
    out, err = capsys.readouterr()
    lines = [
        line for line in (out + err).splitlines() if "python -m review replay " not in line
    ]  # holds a path
    assert max(map(len, [*lines, ""])) <= 100 or "--json" in arguments
    return status, out, err


SURGE, RISING = Condition.VOLUME_SURGE, Condition.VWAP_RISING
