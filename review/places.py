"""What a command may read and write: records by path or date, and files of its own. Nothing else is overwritten.

A slip of the hand (a record behind ``--trace``, a letter behind ``--html``) must not cost what was there.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
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


class BadArgument(Unusable):
    """An argument names what cannot be read or written: why, in a line."""


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
        raise Unusable(f"{path}: is a folder; give a file name")
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


LAST = "last"
SPOKEN = ("today", "yesterday", LAST)
"""What people say instead of a date."""


def spoken(word: str, now: int) -> date:
    """Returns the date that ``today`` means at ``now`` (µs), or ``yesterday``: the session before today's date."""
    today = day = utils.new_york(now).date()
    while word == "yesterday" and (day == today or utils.session_on(day) is None):
        day -= timedelta(days=1)
    return day


def find(place: Path | None, day: date | str | None, now: int) -> Choice:
    """The record that is asked for: of a date, of what a word of `SPOKEN` means, or today's and else the newest.

    Raises Unusable when there is none, NoSession when there was no session.
    """
    if isinstance(day, str) and day != LAST:
        day = spoken(day, now)
    if place is not None and not place.is_dir():
        return _one_file(place, day)
    folder = data_dir() if place is None else place
    if folder.name == "sessions" and not (folder / "sessions").is_dir():
        folder = folder.parent
    by_date = records_in(folder)
    if isinstance(day, date):
        if day.isoformat() in by_date:
            return Choice(by_date[day.isoformat()], day.isoformat())
        if day.isoformat() in (others := misnamed(folder)):
            raise Unusable(others[day.isoformat()])
        raise _no_record(folder, day, sorted(by_date), now)
    return _newest(folder, by_date, now, is_over=day == LAST, is_named=place is not None)


def _one_file(path: Path, day: date | str | None) -> Choice:
    if not path.suffix and not os.path.lexists(path):
        raise Unusable(f"{path}: no such folder. Give the folder that DATA_DIR names, or one record")
    return Choice(path, day.isoformat() if isinstance(day, date) else "")


def _newest(folder: Path, by_date: Mapping[str, Path], now: int, *, is_over: bool, is_named: bool) -> Choice:
    """Today's record and else the newest, or the newest whose session ``is_over``. ``is_named``: the folder was given."""
    if not by_date:
        if others := misnamed(folder):
            raise Unusable(others[max(others)])
        raise Unusable(
            f"no record in {folder / 'sessions'}: the program has not run in a session yet, or with another DATA_DIR"
        )
    if is_over:
        over = [dated for dated in by_date if _is_over(dated, now)]
        if not over:
            raise Unusable(
                f"no record in {folder / 'sessions'} of a session that is over. {known_text(sorted(by_date))}"
            )
        return Choice(by_date[max(over)], max(over))
    today = utils.new_york_date(now)
    newest = max(by_date)
    if today in by_date:
        return Choice(by_date[today], today)
    state = _today_text(now, is_named=is_named)
    return Choice(
        by_date[newest], newest, f"Today ({today}) has no record: this is the newest. {state}".strip()
    )


def _is_over(dated: str, now: int) -> bool:
    session = utils.session_on(date.fromisoformat(dated))
    return dated < utils.new_york_date(now) if session is None else session.close <= now


def known_text(dates: Sequence[str]) -> str:
    """Which records there are, in a sentence. ``dates`` ascend."""
    if not dates:
        return "There is no record at all."
    older = len(dates) - DATES_NAMED
    return f"Records: {', '.join(dates[-DATES_NAMED:])}" + (f", and {older} older." if older > 0 else ".")


def records_in(folder: Path) -> dict[str, Path]:
    """The records of a folder by date; none where it is not there yet. Raises Unusable for one that cannot be listed."""
    try:
        return {date_of(path): path for path in chosen(look_through(folder))}
    except OSError as error:
        place = error.filename or folder / "sessions"
        raise Unusable(
            f"{place}: cannot be listed ({_words(error)}); let this user read it, or name another folder"
        ) from None


def data_dir() -> Path:
    """DATA_DIR from the environment or ``.env``. Raises ConfigError for bad settings."""
    settings, _ = config.load({**os.environ, **WITHOUT_KEYS})
    return settings.data_dir


def _today_text(now: int, *, is_named: bool) -> str:
    """How today's session stands. Of a folder that was named on purpose nobody expects today's record."""
    session = utils.session_on(utils.new_york(now).date())
    if session is None:
        return "The exchange is closed today."
    if now < session.open:
        return "Today's session has not opened yet."
    return "" if is_named else "Is the program running?"


def _no_record(folder: Path, day: date, dates: Sequence[str], now: int) -> Exception:
    """Why a date has no record."""
    words = f"{day:%a} {day.day} {day:%b %Y}"
    session = utils.session_on(day)
    if session is None:
        what = "it was a weekend" if day.weekday() >= utils.SATURDAY else "it was a holiday"
        return NoSession(f"No alert on {words}: the exchange was closed, {what}.")
    if now < session.open:
        return NoSession(f"No alert on {words} yet: its session opens {utils.day_text(session.open)} ET.")
    return Unusable(
        f"no record of {words} in {folder / 'sessions'}: the program was not running in that session, "
        f"or with another DATA_DIR, or the record was removed (KEEP_SESSIONS). {known_text(dates)}"
    )


# --- Writing -----------------------------------------------------------------------------------------


def check_own(path: Path, option: str, begins: bytes) -> None:
    """Raises BadArgument when ``path`` may not be written: see `claim`. Changes nothing."""
    if path.name.endswith((SUFFIX, PACKED_SUFFIX)):
        raise BadArgument(f"{option} {path}: has the name of a session's record; choose another file")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise BadArgument(f"{option} {path}: there is no folder {path.parent}") from None
        return
    except (OSError, ValueError) as error:
        raise BadArgument(f"{option} {path}: {_words(error)}") from None
    if stat.S_ISDIR(mode):
        raise BadArgument(f"{option} {path}: is a folder; give a file name")
    if not stat.S_ISREG(mode):
        raise BadArgument(f"{option} {path}: is not an ordinary file; choose another file")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = file.read(len(begins))
    except OSError as error:
        raise BadArgument(f"{option} {path}: {_words(error)}") from None
    if found and found != begins:
        raise BadArgument(f"{option} {path}: already holds something that is not ours; choose another file")


def claim(path: Path, option: str, begins: bytes) -> int:
    """A descriptor that writes ``path`` anew; the caller closes it.

    ``path`` is a new file, an empty one, or one that starts with the bytes ``begins``, as everything does that this
    program writes there. Raises BadArgument for anything else, naming ``option``, and when it cannot be opened.
    """
    check_own(path, option, begins)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags, FILE_MODE)
    except OSError as error:
        raise BadArgument(f"{option} {path}: {_words(error)}") from None


def write_own(path: Path, option: str, begins: str, text: str) -> None:
    """Writes ``text``, which starts with ``begins``, to ``path``. Raises BadArgument as `claim` does, Unusable if writing fails."""
    try:
        with open(claim(path, option, begins.encode()), "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise Unusable(f"{option} {path}: {_words(error)}") from None
