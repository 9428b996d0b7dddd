"""What a story holds, put in order: the market's events, the phone's messages, and the lines of the record.

Nothing is judged here, and nothing of the worker is used: frames, answers, pushes and the record are read apart from its code.
"""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from tests.simulation.faults import Kind
from tests.simulation.record_lines import Decision, Line, decided, lines_of
from tests.simulation.sent import SECOND, Market
from tests.simulation.story import DiskAction, Push, Story

NEW_YORK = ZoneInfo("America/New_York")

POSITION = re.compile(r"#([0-9a-f]{6})\Z")


@dataclass(frozen=True, slots=True)
class Told:
    """A push, as its text has it."""

    push: Push
    kind: str
    """``buy``, ``sell``, ``other``; empty if the service never had it whole."""
    position: str
    is_repeat: bool
    late_s: int | None

    @property
    def at(self) -> int:
        """When its first byte went out."""
        return self.push.first_byte_at


def told(push: Push) -> Told:
    """Reads a push."""
    text = push.text
    title, message = text.get("title", ""), text.get("message", "")
    lines = message.split("\n")
    kind = "buy" if "CALL — BUY" in title else "sell" if "CALL — SELL" in title else "other" if title else ""
    position = POSITION.search(lines[-1])
    late = [re.fullmatch(r"Late (\d+) s", line) for line in lines]
    return Told(
        push,
        kind,
        position[1] if position and kind in ("buy", "sell") else "",
        any(line.startswith("Repeat of ") for line in lines),
        next((int(found[1]) for found in late if found), None),
    )


class Books:
    """A story, put in order. Everything is made when it is first asked for."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.market = Market(story)
        self.lines, self.damage = lines_of(story)
        self.told = sorted((told(push) for push in story.pushes), key=lambda each: each.at)
        self.settings = dict(story.settings)
        open_at = datetime.fromisoformat(f"{story.session}T09:30").replace(tzinfo=NEW_YORK)
        self.open = round(open_at.timestamp()) * SECOND

    @cached_property
    def rules(self) -> dict[str, Any]:
        """The rules as the last header before the story, or the first in it, has them."""
        headers = [line.event for line in self.lines if line.kind == "header"]
        return dict(headers[0]["rules"]) if headers else {}

    @cached_property
    def close(self) -> int:
        """The close: 16:00 but on a half day, which the record must not decide alone."""
        return self.moment("13:00" if self.story.session[5:] in HALF_DAYS else "16:00")

    def moment(self, clock: str) -> int:
        """A New York time of the session."""
        hours, minutes = map(int, clock.split(":")[:2])
        return self.open + (hours * 3600 + minutes * 60 - 34_200) * SECOND

    # --- Decisions ---

    def decisions(self, *kinds: str) -> Iterator[tuple[Line, Decision]]:
        """The decisions of these kinds, each with its line, in their order."""
        return decided(self.lines, *kinds)

    @cached_property
    def opened(self) -> dict[str, tuple[Line, Decision]]:
        """The position's id → the line and the decision that opened it."""
        return {decision["id"]: (line, decision) for line, decision in self.decisions("opened")}

    def outcomes(self, kind: str, position: str) -> list[Line]:
        """The recorded outcomes of a position's BUY or SELL, those of side channels left out."""
        return [line for line in self._outcomes.get((kind, position), ()) if not line.event.get("channel")]

    @cached_property
    def _outcomes(self) -> dict[tuple[str, str], list[Line]]:
        found: dict[tuple[str, str], list[Line]] = defaultdict(list)
        for line in self.lines:
            if line.kind == "alertoutcome":
                found[line.event["kind"], line.event["id"]].append(line)
        return found

    # --- Lives and the network ---

    def life_at(self, at: int) -> int | None:
        """The number of the process that ran then; None if there was none."""
        for life in self.story.lives:
            if life.began_at <= at and (life.ended_at is None or at < life.ended_at):
                return life.number
        return None

    def paused(self, begin: int, end: int) -> int:
        """For how long of a span nothing of the worker ran although there was a process, µs."""
        spans = [pause for life in self.story.lives for pause in life.pauses]
        return sum(max(0, min(end, until) - max(begin, since)) for since, until in spans)

    @cached_property
    def clock_off(self) -> int:
        """The most that the worker's wall clock was off, either way, µs."""
        return max((abs(change.ahead) for change in self.story.clock), default=0)

    def troubled(self, kinds: Set[Kind], begin: int, end: int) -> bool:
        """Whether a fault of these kinds was in force in some of the span."""
        return any(
            fault.kind in kinds and fault.at <= end and max(fault.until, fault.at) >= begin
            for fault in self.story.injected
        )

    def is_recorded(self, begin: int, end: int) -> bool:
        """Whether something was written to a record in the span."""
        first = bisect.bisect_left(self._writes, begin)
        return first < len(self._writes) and self._writes[first] <= end

    @cached_property
    def _writes(self) -> list[int]:
        events = self.story.disk
        return sorted(
            event.at
            for event in events
            if event.action is DiskAction.WRITE and event.data and not event.error
        )

    def died(self, begin: int, end: int) -> bool:
        """Whether a process began or ended in the span."""
        return any(
            begin <= moment <= end
            for life in self.story.lives
            for moment in (life.began_at, life.ended_at, life.stop_asked_at)
            if moment is not None
        )


HALF_DAYS = frozenset({"07-03", "11-24", "11-28", "11-29", "12-24"})
"""Days on which the exchange may close at 13:00. A story on one of them would have to say which it is."""
