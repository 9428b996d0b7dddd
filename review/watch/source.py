"""Which record holds the session in progress."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import entry
import utils
from errors import OurError
from record.folder import record_path
from review.places import Choice, Unusable, check_file, known_text, records_in


class NoRecord(OurError):
    """There is no record to watch yet: why, and what to do."""


class Source:
    """Where the record is looked for: a DATA_DIR, by today's date, or one file."""

    def __init__(self, place: Path) -> None:
        """Raises Unusable for a place that is neither a folder nor a file."""
        self._folder: Path | None = None
        self._file: Path | None = None
        if place.is_dir():
            is_inner = place.name == "sessions" and not (place / "sessions").is_dir()
            self._folder = place.parent if is_inner else place
        elif place.suffix or place.exists():
            check_file(place)
            self._file = place
        else:
            self._folder = place  # it may come with the first session

    def find(self, now: int) -> Choice:
        """Returns the record of today's session at ``now`` (µs), packed or not.

        Raises NoRecord when there is none, and names the others.
        """
        if self._file is not None:
            return Choice(self._file)
        assert self._folder is not None, "a source is a folder or a file"
        today = utils.new_york_date(now)
        path = record_path(self._folder, today)
        packed = path.with_name(path.name + ".gz")
        for found in (path, packed):
            if os.path.lexists(found):
                return Choice(found, today)
        raise NoRecord(
            f"No record of today ({today}) in {path.parent} yet. {_why(now)}{_others(self._folder)}"
        )

    def is_over(self, current: Choice, now: int) -> bool:
        """Returns whether the record of another day has come, to go on with."""
        if self._file is not None or current.date == utils.new_york_date(now):
            return False
        try:
            self.find(now)
        except NoRecord:
            return False
        return True


def _others(folder: Path) -> str:
    """The records that are there, and how to see one. Begins with a space; empty without any."""
    try:
        found = records_in(folder)
    except Unusable as error:
        return f" {error}."
    if not found:
        return ""
    command = f"{entry.called('python diagnose.py')} watch --data-dir {shlex.quote(str(found[max(found)]))}"
    return f" {known_text(sorted(found))} To see one: {command}"


def _why(now: int) -> str:
    session = utils.session_on(utils.new_york(now).date())
    if session is None:
        return f"The exchange is closed today; the next session opens {utils.day_text(utils.session_at(now).open)} ET."
    if now >= session.close:
        return f"Today's session closed at {utils.minute_text(session.close)} ET: the program was not running in it."
    if now < session.open:
        opens = utils.minute_text(session.open)
        return f"The session opens at {opens} ET; the program begins its record a few minutes before."
    return "The session is open: is the program running, with this DATA_DIR?"
