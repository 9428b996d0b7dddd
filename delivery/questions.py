"""The requests to the push service besides alerts: whether it accepts pushes, how many are left, who has acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from delivery import standing
from delivery.account import Account
from delivery.acknowledgements import Acknowledgements
from delivery.answers import Answer, Result
from delivery.channel import Channel
from delivery.holds import Holds
from delivery.shared import Shared
from delivery.standing import Mood, Question
from events import SECOND

log = structlog.get_logger("alerts")

KEEP_WARM_S = 45
"""Seconds between two requests during a session, which keep the connection open. One asks for the quota, the next whether
pushes are accepted: else the first to notice that a token or user is no longer valid would be a BUY that is refused."""

HOUSEKEEPING_S = 1.0
"""Seconds between two checks for requests that are due."""


class Questions:
    """Makes the requests that are due, one at a time, and only while no alert is being sent."""

    def __init__(
        self,
        shared: Shared,
        channel: Channel,
        account: Account,
        holds: Holds,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._shared = shared
        self._channel = channel
        self._account = account
        self._holds = holds
        self._acknowledgements = acknowledgements
        self.in_session = False
        """Whether the connection is kept open with requests for the quota."""
        self._limits_due = 0
        self._is_users_turn = False
        """Whether the last request that kept the connection open was whether pushes are accepted."""
        self._question: asyncio.Task[None] | None = None
        self._is_quota_untold = False
        """Whether the last request for the quota failed. The log says so only once."""

    @property
    def is_asking(self) -> bool:
        """Whether a question is not answered yet."""
        return self._question is not None

    async def run(self) -> None:
        """Makes the requests that are due until cancelled."""
        while True:
            now = self._shared.clock.now()
            self._holds.check_cap(now)
            question = None if self._shared.outbox.is_under_way else self._due_question(now)
            if question is not None:
                await self._run_question(question)
            await self._shared.clock.sleep(HOUSEKEEPING_S)

    def make_room(self) -> None:
        """Cancels the present request if another alert is under way: the service allows only two connections."""
        if self._question is not None and self._shared.outbox.is_under_way:
            self._question.cancel()

    def warm_again(self) -> None:
        """Makes a request for the quota due: a connection is gone, and the next alert should find an open one."""
        self._limits_due = 0
        self._is_users_turn = True

    async def _run_question(self, question: Coroutine[Any, Any, None]) -> None:
        task = self._question = asyncio.create_task(question, name="alerts-question")
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._question = None
        if not task.cancelled():
            task.result()

    def _due_question(self, now: int) -> Coroutine[Any, Any, None] | None:
        stand = self._account.standing
        if stand.ask_at is not None and now >= stand.ask_at:
            return self._request_standing(stand.question, now)
        receipt = self._acknowledgements.due(now)
        if receipt is not None:
            return self._acknowledgements.request(receipt, now)
        wanted = self.in_session or not self._account.is_healthy or not self._limits_due
        if not wanted or now < self._limits_due:
            return None
        self._limits_due = now + KEEP_WARM_S * SECOND
        self._is_users_turn = stand.mood is Mood.TAKEN and self.in_session and not self._is_users_turn
        return self._request_standing(Question.USER, now) if self._is_users_turn else self._request_quota(now)

    async def _request_standing(self, question: Question, now: int) -> None:
        """Requests whether pushes are accepted: at the start, now and then, and while they are refused or the quota is used up."""
        answer = await (self._channel.validate() if question is Question.USER else self._channel.limits())
        self._account.record(answer)
        was = self._account.standing
        new = standing.answered(was, answer, now, self._shared.clock.now())
        if new.mood is Mood.TAKEN and was.mood is not Mood.TAKEN:
            log.info(
                "push_ready",
                text=f"✓ Pushover accepts our pushes (devices: {len(answer.devices)})",
                devices=len(answer.devices),
            )
        elif answer.result not in (Result.OK, Result.REFUSED):
            _log_silence(answer)
        self._account.stand(new, answer.reason)
        self._shared.changed.set()

    async def _request_quota(self, now: int) -> None:
        """Requests the quota, which also keeps the connection open."""
        was_healthy = self._account.is_healthy
        answer = await self._channel.limits()
        self._account.record(answer)
        if (
            answer.result is Result.OK
            and answer.remaining == 0
            and self._account.standing.mood is not Mood.SPENT
        ):
            self._account.stand(standing.spent(self._account.standing, answer, self._shared.clock.now()))
        if answer.result is not Result.OK:
            # The quota itself matters little, but pushes may fail, too: find out before the next alert.
            self._account.doubt(now)
        if answer.result is not Result.OK and was_healthy and not self._is_quota_untold:
            _log_silence(answer)
        self._is_quota_untold = answer.result is not Result.OK


def _log_silence(answer: Answer) -> None:
    log.warning(
        "push_question_failed",
        text=f"⚠️ Pushover did not answer: {answer.reason}",
        reason=answer.reason,
    )
