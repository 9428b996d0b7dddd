"""What a command may read and write: records by path or date, and files of its own. Nothing else is overwritten.

A slip of the hand (a record behind ``--trace``, a letter behind ``--html``) must not cost what was there.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import config
import utils
from errors import OurError
from record.folder import PACKED_SUFFIX, SUFFIX, chosen, date_of, look_through, misnamed

DATES_NAMED = 8
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

FILE_MODE = 0o666
"""Less the process's umask, as with any file that a command writes."""

WITHOUT_KEYS = {
    "POLYGON_API_KEY": "none",
    "PUSHOVER_TOKEN": "0" * 30,
    "PUSHOVER_USER_KEY": "0" * 30,
}
"""Stand in for the keys, which nothing here needs: the owner's are not even read."""


class Unusable(OurError):
    """What was asked for cannot be done: why, in a line."""


class NoSession(OurError):
    """There was no session to have a record of: why, in a line."""


def _words(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


# --- Reading -----------------------------------------------------------------------------------------


def check_file(path: Path) -> None:
    """Raises Unusable for what is not a file that can be read."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError) as error:
        raise Unusable(f"{path}: {_words(error)}") from None
    if stat.S_ISDIR(mode):
        raise Unusable(f"{path}: is a folder, takes a file")
    if stat.S_ISLNK(mode):
        raise Unusable(f"{path}: is a symbolic link; name the file that it points to")
    if not stat.S_ISREG(mode):
        raise Unusable(f"{path}: is not an ordinary file")


class Choice(NamedTuple):
    """A record, the session that it should hold (empty when nothing says which), and what is to be said of the choice."""

    path: Path
    date: str = ""
    note: str = ""

    def check(self, dated: str) -> None:
        """Raises Unusable when the record holds the session of another date: a file's name proves nothing."""
        if self.date not in ("", dated):
            raise Unusable(f"{self.path}: holds the session of {dated}, not of {self.date}")


def named(word: str, now: int) -> Choice:
    """The record that a word of the command line names: a session's date, or a file that may have been packed since.

    Raises Unusable when there is none, NoSession when there was no session, ConfigError for bad settings.
    """
    if DATE.fullmatch(word):
        try:
            day = date.fromisoformat(word)
        except ValueError:
            raise Unusable(f"{word}: there is no such date") from None
        return find(None, day, now)
    other = word.removesuffix(".gz") if word.endswith(PACKED_SUFFIX) else f"{word}.gz"
    if word.endswith((SUFFIX, PACKED_SUFFIX)) and not os.path.lexists(word) and os.path.isfile(other):
        return Choice(Path(other))
    return Choice(Path(word))


SPOKEN = ("yesterday", "last")
"""What people say instead of a date."""


def spoken(word: str, now: int) -> date:
    """Returns the session that is meant at ``now`` (µs): of ``yesterday`` the one before today's date, of ``last`` the last that is over."""
    day = utils.new_york(now).date()
    while True:
        session = utils.session_on(day)
        if session is not None and (
            now >= session.close if word == "last" else day < utils.new_york(now).date()
        ):
            return day
        day -= timedelta(days=1)


def find(place: Path | None, day: date | None, now: int) -> Choice:
    """The record that is asked for. Raises Unusable when there is none, NoSession when there was no session."""
    if place is not None and not place.is_dir():
        return Choice(place, "" if day is None else day.isoformat())
    folder = data_dir() if place is None else place
    if folder.name == "sessions" and not (folder / "sessions").is_dir():
        folder = folder.parent
    by_date = {date_of(path): path for path in _records(folder)}
    if day is not None:
        if day.isoformat() in by_date:
            return Choice(by_date[day.isoformat()], day.isoformat())
        if day.isoformat() in (others := misnamed(folder)):
            raise Unusable(others[day.isoformat()])
        raise _no_record(folder, day, sorted(by_date), now)
    if not by_date:
        if others := misnamed(folder):
            raise Unusable(others[max(others)])
        raise Unusable(
            f"no record in {folder / 'sessions'}: the program has not run in a session yet, or with another DATA_DIR"
        )
    today = utils.new_york_date(now)
    newest = max(by_date)
    if today in by_date:
        return Choice(by_date[today], today)
    return Choice(
        by_date[newest],
        newest,
        f"Today ({today}) has no record: this is the newest. {_today_text(now)}".strip(),
    )


def _records(folder: Path) -> list[Path]:
    """The records of a folder; none where it is not there yet. Raises Unusable for one that cannot be listed."""
    try:
        return chosen(look_through(folder))
    except OSError as error:
        place = error.filename or folder / "sessions"
        raise Unusable(
            f"{place}: cannot be listed ({_words(error)}); let this user read it, or name another folder"
        ) from None


def data_dir() -> Path:
    """DATA_DIR from the environment or ``.env``. Raises ConfigError for bad settings."""
    settings, _ = config.load({**os.environ, **WITHOUT_KEYS})
    return settings.data_dir


def _today_text(now: int) -> str:
    session = utils.session_on(utils.new_york(now).date())
    if session is None:
        return "The exchange is closed today."
    return "Today's session has not opened yet." if now < session.open else "Is the program running?"


def _no_record(folder: Path, day: date, dates: Sequence[str], now: int) -> Exception:
    """Why a date has no record."""
    words = f"{day:%a} {day.day} {day:%b %Y}"
    session = utils.session_on(day)
    if session is None:
        what = "it was a weekend" if day.weekday() >= utils.SATURDAY else "it was a holiday"
        return NoSession(f"No alert on {words}: the exchange was closed, {what}.")
    if now < session.open:
        return NoSession(f"No alert on {words} yet: its session opens {utils.day_text(session.open)} ET.")
    shown = ", ".join(dates[-DATES_NAMED:])
    known = "There is no record at all."
    if dates:
        known = f"Records: {shown}" + (
            f", and {len(dates) - DATES_NAMED} older." if len(dates) > DATES_NAMED else "."
        )
    return Unusable(
        f"no record of {words} in {folder / 'sessions'}: the program was not running in that session, "
        f"or with another DATA_DIR, or the record was removed (KEEP_SESSIONS). {known}"
    )


# --- Writing -----------------------------------------------------------------------------------------


def check_own(path: Path, option: str, begins: bytes) -> None:
    """Raises Unusable when ``path`` may not be written: see `claim`. Changes nothing."""
    if path.name.endswith((SUFFIX, PACKED_SUFFIX)):
        raise Unusable(f"{option} {path}: has the name of a session's record, takes another file")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Unusable(f"{option} {path}: there is no folder {path.parent}") from None
        return
    except (OSError, ValueError) as error:
        raise Unusable(f"{option} {path}: {_words(error)}") from None
    if stat.S_ISDIR(mode):
        raise Unusable(f"{option} {path}: is a folder, takes a file")
    if not stat.S_ISREG(mode):
        raise Unusable(f"{option} {path}: is not an ordinary file, takes another")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = file.read(len(begins))
    except OSError as error:
        raise Unusable(f"{option} {path}: {_words(error)}") from None
    if found and found != begins:
        raise Unusable(f"{option} {path}: holds something else, which is not overwritten; takes another file")


def claim(path: Path, option: str, begins: bytes) -> int:
    """A descriptor that writes ``path`` anew; the caller closes it.

    ``path`` is a new file, an empty one, or one that starts with the bytes ``begins``, as everything does that this
    program writes there. Raises Unusable for anything else, naming ``option``, and when it cannot be opened.
    """
    check_own(path, option, begins)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags, FILE_MODE)
    except OSError as error:
        raise Unusable(f"{option} {path}: {_words(error)}") from None
