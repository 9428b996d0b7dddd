"""Sends what a picture goes with. No alert waits for one: a picture gives way, and what is said with it goes without it.

An alert whose text is of use without its picture, the evening's, is never lost with it: whatever comes in between, the text
is submitted like any other. A push that is there for its picture alone (`AlertKind.PICTURE`) is tried twice at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from delivery.account import Account
from delivery.answers import Answer, Result
from delivery.channel import Channel
from delivery.holds import Holds
from delivery.obstacles import Circumstances, obstacle
from delivery.questions import Questions
from delivery.settling import log_sent
from delivery.shared import Shared
from events import SECOND, AlertKind, AlertOutcome, Outcome
from messages.alert import PICTURE_LATEST_S, Alert, repeated, text_at

log = structlog.get_logger("alerts")

WAITING_MAX = 4
"""Pictures that may wait: trades are minutes apart. The oldest makes room."""

ATTEMPTS = 2
"""Attempts for a push that is there for its picture alone."""

RETRY_S = 10
"""Pause before the second one. The vendor asks for at least 5 s."""

TEXT_WAITS_S = 30
"""Seconds that a text waits with its picture for the way to be free; then it goes without."""

LOOK_S = 1.0
"""Pause between two looks at whether the way is free."""


class Shown:
    """A picture on its way, ``png``, and the alert that it goes with. ``due`` is when it is tried next, µs."""

    def __init__(self, alert: Alert, png: bytes, due: int) -> None:
        self.alert = alert
        self.png = png
        self.taken_at = self.due = due
        self.attempts = 0
        self.has_begun = False
        """Whether a byte of the last attempt is out."""

    @property
    def is_text_owed(self) -> bool:
        """Whether the alert is to be told without its picture, too."""
        return self.alert.kind is not AlertKind.PICTURE


class Pictures:
    """The pictures that wait, and the one that is being sent. ``submit`` takes an alert that goes without."""

    def __init__(
        self,
        shared: Shared,
        *,
        channel: Channel,
        account: Account,
        holds: Holds,
        questions: Questions,
        submit: Callable[[Alert], None],
    ) -> None:
        self._shared = shared
        self._channel = channel
        self._account = account
        self._holds = holds
        self._questions = questions
        self._submit = submit
        self._waiting: list[Shown] = []
        self._sending: tuple[Shown, asyncio.Task[Answer]] | None = None
        self._wake = asyncio.Event()
        self._has_stopped = False

    @property
    def texts(self) -> list[Alert]:
        """The alerts that are to be told in any case, and wait with their pictures."""
        return [shown.alert for shown in self._waiting if shown.is_text_owed]

    def add(self, alert: Alert, png: bytes) -> None:
        """Accepts a picture. Never waits."""
        shown = Shown(alert, png, self._shared.clock.now())
        if self._has_stopped:
            self._tell_without(shown)
            return
        self._waiting.append(shown)
        still = [each for each in self._waiting if self._sending is None or each is not self._sending[0]]
        if len(still) > WAITING_MAX:
            self._end_unsent(still[0], "too many pictures were waiting")
        self._wake.set()

    def make_room(self) -> None:
        """Gives way to an attempt that is about to begin, if there would be a third connection: the service allows two."""
        if self._sending is not None and (self._questions.is_asking or self._shared.outbox.is_under_way):
            self._sending[1].cancel()

    def stop(self) -> None:
        """Sends no more pictures: a text that waits with its picture goes without."""
        self._has_stopped = True
        if self._sending is not None:
            shown, task = self._sending
            task.cancel()
            if shown.has_begun:  # else the next start sends it
                self._end_unsent(shown, "the program stops", Outcome.LOST)
        for shown in tuple(self._waiting):
            self._forget(shown)
            self._tell_without(shown)

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
            now = self._shared.clock.now()
            shown = next((each for each in self._waiting if each.due <= now), None)
            if shown is None:
                await self._shared.clock.sleep(LOOK_S)
            elif not self._is_free(now):
                if shown.is_text_owed and now - shown.taken_at >= TEXT_WAITS_S * SECOND:
                    self._end_unsent(shown, "the connection is needed for others")
                    continue
                await self._shared.clock.sleep(LOOK_S)
            elif reason := self._obstacle(shown, now):
                self._end_unsent(shown, reason)
            else:
                await self._send(shown, now)

    def _is_free(self, now: int) -> bool:
        """Whether nothing else is sent or asked, nor due at ``now`` (µs)."""
        outbox = self._shared.outbox
        is_due = any(entry.due <= now for entry in outbox.entries)
        return not (is_due or outbox.is_under_way or self._questions.is_asking)

    def _obstacle(self, shown: Shown, now: int) -> str:
        if not shown.is_text_owed and now - shown.alert.decided_at >= PICTURE_LATEST_S * SECOND:
            return f"it is {(now - shown.alert.decided_at) // SECOND} s old"
        given = Circumstances(
            is_push_refused=self._account.is_push_refused, remaining=self._account.remaining
        )
        return obstacle(shown.alert, now, given)

    async def _send(self, shown: Shown, now: int) -> None:
        """Makes one attempt, and does what follows."""
        shown.attempts += 1
        shown.has_begun = False

        async def begin() -> None:
            shown.has_begun = True

        text = text_at(shown.alert, now, shown.alert.repeat)
        task = asyncio.create_task(
            self._channel.push(shown.alert, text, now, begin, shown.png), name="alerts-picture"
        )
        self._sending = shown, task
        self._questions.warm_again()  # on the other connection: an alert that comes now finds it warm
        try:
            await asyncio.wait({task})
        finally:
            self._sending = None
            task.cancel()
        if shown not in self._waiting:
            return  # a stop has seen to it
        if task.cancelled():
            result = Result.UNCLEAR if shown.has_begun else Result.FAILED
            self._follow(shown, Answer(result=result, reason="an alert needed the connection"))
        else:
            self._follow(shown, task.result())

    def _follow(self, shown: Shown, answer: Answer) -> None:
        match answer.result:
            case Result.OK:
                self._account.record(answer)
                self._accepted(shown)
            case Result.FAILED | Result.UNCLEAR if not shown.is_text_owed and shown.attempts < ATTEMPTS:
                if answer.result is Result.UNCLEAR:
                    shown.alert = repeated(shown.alert)
                shown.due = self._shared.clock.now() + RETRY_S * SECOND
            case Result.REFUSED:
                # It may be the picture alone that is not taken: whether pushes are is asked, and nothing held until then.
                self._account.doubt(self._shared.clock.now())
                self._end_unsent(shown, answer.reason, Outcome.REFUSED)
            case Result.FAILED:
                self._end_unsent(shown, answer.reason)
            case _:
                self._end_unsent(shown, answer.reason, Outcome.LOST)

    def _accepted(self, shown: Shown) -> None:
        now = self._shared.clock.now()
        log_sent(shown.alert, now, shown.attempts, picture_bytes=len(shown.png))
        self._forget(shown)
        self._report(shown, Outcome.ACCEPTED)
        if shown.is_text_owed:
            self._holds.count(now)  # a picture alone holds no entry

    def _end_unsent(self, shown: Shown, reason: str, outcome: Outcome = Outcome.UNSENT) -> None:
        """Does no more for a picture, for ``reason``; what is to be told in any case goes without it."""
        alert = shown.alert
        what = "Sent without its picture" if shown.is_text_owed else "Picture not sent"
        log.warning(
            "picture_not_sent", text=f"🖼️ {what}: {alert.title} ({reason})", id=alert.id, reason=reason
        )
        self._forget(shown)
        if shown.is_text_owed:
            self._tell_without(shown, may_have_arrived=outcome is Outcome.LOST)
        else:
            self._report(shown, outcome, reason)

    def _tell_without(self, shown: Shown, *, may_have_arrived: bool = False) -> None:
        if shown.is_text_owed:
            self._submit(repeated(shown.alert) if may_have_arrived else shown.alert)

    def _forget(self, shown: Shown) -> None:
        if shown in self._waiting:
            self._waiting.remove(shown)

    def _report(self, shown: Shown, outcome: Outcome, detail: str = "") -> None:
        alert = shown.alert
        self._shared.report(
            AlertOutcome(
                kind=alert.kind, id=alert.id, outcome=outcome, attempts=shown.attempts, detail=detail
            )
        )
