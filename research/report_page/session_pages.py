"""The pages of single sessions beside the report: which are there, and those of records that a backtest has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from config import Following
from record.folder import record_path
from review.keeper import read
from review.page import page
from review.screen import Progress


def pages_in(folder: Path, days: Sequence[str]) -> dict[str, str]:
    """Returns the names of the pages in a folder, by the date of their session. A file that is no page of ours is none."""
    return {day: _name(day) for day in days if _is_page(folder / _name(day))}


def _name(day: str) -> str:
    return f"{day}.html"


def _is_page(path: Path) -> bool:
    begins = page.PAGE_BEGINS.encode()
    try:
        with path.open("rb") as file:
            return file.read(len(begins)) == begins
    except OSError:
        return False


def write_pages(folder: Path, records: Path, days: Sequence[str], *, fee: float, delay_s: int) -> None:
    """Writes the page of each session into ``folder``, from its record below ``records``.

    Raises Unusable or BadArgument if one cannot be written, and Damage or OSError if a record cannot be read.
    """
    following = Following(follow_delay_seconds=delay_s, fee_per_contract=fee)
    names = [_name(day) for day in days]
    progress = Progress("Writing pages", len(days))
    try:
        for place, day in enumerate(days):
            neighbours = page.Neighbours(
                "".join(names[max(0, place - 1) : place]), "".join(names[place + 1 : place + 2])
            )
            study = read(record_path(records, day), following=following, quiet=True)
            page.write(study, folder / names[place], neighbours=neighbours)
            progress.tell(place + 1)
    finally:
        progress.clear()
