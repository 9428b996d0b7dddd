"""The pages of single days beside the page of all: which are there, and the missing ones, from the records still kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from book.rows import DayRow
from record.folder import chosen, date_of, look_through
from record.reader import Damage
from review.days_report import Asked
from review.derive import Survey, survey
from review.keeper import read
from review.page import page
from review.places import Unusable


def standing(folder: Path, dates: Iterable[str]) -> dict[str, str]:
    """Returns the names of the pages in a folder, by the date of their day. A file that is no page of ours is none."""
    return {date: name_of(date) for date in dates if _is_page(folder / name_of(date))}


def name_of(date: str) -> str:
    """Returns the file name of a day's page."""
    return f"{date}.html"


def _is_page(path: Path) -> bool:
    begins = page.PAGE_BEGINS.encode()
    try:
        with path.open("rb") as file:
            return file.read(len(begins)) == begins
    except OSError:
        return False


def write_missing(
    folder: Path, days: Sequence[DayRow], asked: Asked, tell: Callable[[str], None]
) -> list[str]:
    """Writes the pages of days that have none and whose record is kept. Returns what went wrong, a line each.

    ``tell`` is called with a line after each. Raises OSError if the records cannot be looked through.
    """
    notes: list[str] = []
    dates = {day.date for day in days}
    dates -= set(standing(folder, dates))
    records = [path for path in chosen(look_through(asked.folder)) if date_of(path) in dates]
    wanted = _surveyed(folder, records, notes)
    names = sorted({*_names(folder), *(name_of(date_of(record)) for record in wanted)})
    for number, (record, surveyed) in enumerate(wanted.items(), start=1):
        path = folder / name_of(date_of(record))
        neighbours = page.beside(names, names.index(path.name))  # the pages that follow are not there yet
        try:
            study = read(record, now=asked.now, surveyed=surveyed, following=asked.following)
            page.write(study, path, neighbours=neighbours)
        except (Unusable, Damage) as error:
            notes.append(_no_page(record, error))
        else:
            tell(f"Page {number} of {len(wanted)}: {path}")
    return notes


def _names(folder: Path) -> Iterable[str]:
    """Returns the names of the pages in a folder, those of other days too."""
    return (path.name for path in folder.glob("*.html") if page.day_of(path) is not None and _is_page(path))


def _surveyed(folder: Path, records: Sequence[Path], notes: list[str]) -> Mapping[Path, Survey]:
    """Returns the records of which a page can be written, with their headers. Adds to ``notes`` why others cannot."""
    found: dict[Path, Survey] = {}
    for record in records:
        try:
            page.check(folder / name_of(date_of(record)))
            found[record] = survey(record)
        except (Unusable, Damage) as error:
            notes.append(_no_page(record, error))
    return found


def _no_page(record: Path, error: Unusable | Damage) -> str:
    return f"No page of {date_of(record)}: {error}"
