"""Follows the record of the session in progress through the engine, some lines at a time.

It survives what happens to a record: it is not there yet, grows, ends torn, is written anew, replaced, packed, damaged,
or followed by the next day's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from config import ConfigError
from record.reader import Damage
from review.derive import Handled, Pause, Start, derive
from review.places import Choice, Unusable
from review.watch.follow import GrowingRecord, Replaced, Standing
from review.watch.source import NoRecord, Source

LINES = 2_000
"""How many lines are derived at a time: some 50 ms."""


class Keeps(Protocol):
    """What keeps something of a session. It is made of the first `Start`, and gets that one, too."""

    def record(self, item: Start | Handled) -> None:
        """Records a start of the program, or a fact that the engine has handled."""


Kept = TypeVar("Kept", bound=Keeps)


class Watcher(Generic[Kept]):
    """Follows what ``source`` names. ``keep`` makes what keeps the session, of the first start in its record."""

    def __init__(self, source: Source, keep: Callable[[Path, Start], Kept]) -> None:
        self.kept: Kept | None = None
        """What is kept of the session; None before its record begins."""
        self.fault = ""
        """Why the record cannot be read (on), or that there is none yet; empty if it is read."""
        self.is_waiting = False
        """Whether the fault is only that there is no record yet."""
        self.is_behind = True
        """Whether there may be lines that were not derived yet."""
        self._source = source
        self._keep = keep
        self._record: GrowingRecord | None = None
        self._items: Iterator[Start | Handled | Pause] | None = None
        self._choice = Choice(Path())
        """The record that is read, or was last tried."""
        self._mark: bytes | None = None
        """What stands where a record is damaged, which stays open meanwhile."""

    @property
    def progress(self) -> tuple[int, int]:
        """Returns how many bytes of the record have been read, and how many it has."""
        return (0, 0) if self._record is None else (self._record.size, self._record.total)

    def turn(self, now: int, lines: int = LINES) -> None:
        """Derives at most that many lines more. `is_behind` says whether to call it again at once. Never raises."""
        try:
            self._turn(now, lines)
        except NoRecord as error:
            self._stop(str(error), is_waiting=True)
        except Replaced:
            self._begin_anew()
        except (Damage, Unusable, ConfigError) as error:
            assert self._record is not None, "what is wrong was read in it"
            self._items, self._mark = None, self._record.mark()
            self.fault, self.is_waiting, self.is_behind = str(error), False, False
        except OSError as error:
            self._stop(f"{error.filename or self._choice.path}: {error.strerror or error}")

    def close(self) -> None:
        """Closes the record."""
        self._items = None
        if self._record is not None:
            self._record.close()
            self._record = None

    def _turn(self, now: int, lines: int) -> None:
        if self._items is None:
            if self._is_still_damaged(now):
                return
            choice = self._source.find(now)
            self._begin_anew()
            self._choice = choice
            self._record = GrowingRecord(choice.path)
            self._items = derive(choice.path, self._record.lines(), self._record.first)
        assert self._record is not None, "it was opened with the items"
        for item in islice(self._items, lines):
            if item is Pause.NO_LINE:
                self.is_behind = False
                is_gone = self._record.standing is Standing.GONE
                self.fault = f"{self._choice.path} {Standing.GONE.value}: read on" if is_gone else ""
                if self._source.is_over(self._choice, now):
                    self._begin_anew()
                return
            if not isinstance(item, Pause):
                self._keep_item(item)
        self.is_behind = True

    def _keep_item(self, item: Start | Handled) -> None:
        if self.kept is None:
            assert isinstance(item, Start), "a record begins with a header"
            self._choice.check(item.header.session.date)
            self.kept = self._keep(self._choice.path, item)
        self.kept.record(item)

    def _begin_anew(self) -> None:
        self.close()
        self.kept, self.fault, self.is_waiting, self.is_behind = None, "", False, True
        self._mark = None

    def _is_still_damaged(self, now: int) -> bool:
        """Returns whether a record that could not be read has not changed. It may have grown: its worker goes on."""
        record, mark = self._record, self._mark
        if record is None or mark is None or self._source.is_over(self._choice, now):
            return False
        return record.is_same(mark)

    def _stop(self, fault: str, *, is_waiting: bool = False) -> None:
        """Stops reading. What was kept is still there to be shown."""
        self.close()
        self._mark = None
        self.fault, self.is_waiting, self.is_behind = fault, is_waiting, False
