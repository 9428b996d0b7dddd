"""The pages of single sessions beside the report, from the records that a backtest has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from config import Following
from record.folder import record_path
from review.day_pages import name_of
from review.keeper import read
from review.page import page
from review.screen import Progress


def write_pages(folder: Path, records: Path, days: Sequence[str], *, fee: float, delay_s: int) -> None:
    """Writes the page of each session into ``folder``, from its record below ``records``.

    Raises Unusable or BadArgument if one cannot be written, and Damage or OSError if a record cannot be read.
    """
    following = Following(follow_delay_seconds=delay_s, fee_per_contract=fee)
    names = [name_of(day) for day in days]
    progress = Progress("Writing pages", len(days))
    try:
        for place, day in enumerate(days):
            study = read(record_path(records, day), following=following, quiet=True)
            page.write(study, folder / names[place], neighbours=page.beside(names, place))
            progress.tell(place + 1)
    finally:
        progress.clear()
