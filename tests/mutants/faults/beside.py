"""What follows from an attempt: side channels, holds, and the alerts of a stop."""

from tests.mutants.mutant import Mutant

BESIDE = "delivery/beside.py"
SETTLING = "delivery/settling.py"
STOP = "delivery/stop.py"
FOLLOW_UP = "delivery/follow_up.py"
HOLDS = "delivery/holds.py"

MUTANTS = (
    Mutant(
        "given-up-sell-not-reported",
        SETTLING,
        '            self._shared.gave_up(f"never delivered: {named(alert)}")\n',
        "",
        "the heartbeat's service does not learn of a SELL that nobody was told",
    ),
    Mutant(
        "given-up-sell-not-told-beside",
        SETTLING,
        "        self._beside.tell(entry)\n        self.finish(entry, outbox.ended(entry.life)",
        "        self.finish(entry, outbox.ended(entry.life)",
        "the second channel does not get what Pushover never took",
    ),
    Mutant(
        "stop-not-woken-by-a-delivery",
        SETTLING,
        "        self._shared.changed.set()\n        alert = entry.alert",
        "        alert = entry.alert",
        "a stop waits its whole time although everything is told",
        survives="the lane sets the same event after each attempt, and nothing else ends an alert that a stop waits for",
    ),
    Mutant(
        "held-entries-not-reported",
        HOLDS,
        "        self._shared.report(Hold(reason=reason, on=on))\n",
        "        pass\n",
        "BUYs go on while no push can arrive",
    ),
    Mutant(
        "cap-never-ends",
        HOLDS,
        "            self._accepted_at.popleft()\n",
        "            break\n",
        "one busy quarter of an hour holds entries all day",
    ),
    Mutant(
        "cap-one-too-late",
        HOLDS,
        "            full = len(self._accepted_at) >= count",
        "            full = len(self._accepted_at) > count",
        "one push more than the owner has set",
    ),
    Mutant(
        "pushes-not-counted",
        FOLLOW_UP,
        "        self._holds.count(now)\n",
        "        pass\n",
        "a fault that signals every minute rings all day",
    ),
    Mutant(
        "receipt-not-polled",
        FOLLOW_UP,
        "            self._acknowledgements.await_for(alert, receipt, now, entry.attempts)\n",
        "            pass\n",
        "nobody learns that a SELL was not acknowledged",
    ),
    Mutant(
        "refusal-not-told-beside",
        FOLLOW_UP,
        "            self._account.update_hold()\n            self._beside.tell(entry)\n            self._account.request_once_more()",
        "            self._account.update_hold()\n            self._account.request_once_more()",
        "a refused SELL reaches the second channel a minute late",
    ),
    Mutant(
        "refusal-does-not-count",
        FOLLOW_UP,
        "        self._account.refuse(answer)\n",
        "        pass\n",
        "entries go on while no push can arrive",
    ),
    Mutant(
        "lost-alert-not-told-beside",
        FOLLOW_UP,
        "        self._beside.tell(entry)\n        self._settling.finish(entry, Outcome.LOST, answer.reason)",
        "        self._settling.finish(entry, Outcome.LOST, answer.reason)",
        "a safety push whose answer was lost may have reached nobody",
    ),
    Mutant(
        "failed-buy-of-a-sold-position-retried",
        FOLLOW_UP,
        '            self._settling.withdraw(entry, "its position has closed")\n        elif',
        "            self._outbox.postpone(entry, what.due)\n        elif",
        "a BUY comes after its SELL",
    ),
    Mutant(
        "beside-tells-buys",
        BESIDE,
        "        if not (alert.urgent or entry.follows is not None) or entry.is_told_elsewhere:",
        "        if entry.is_told_elsewhere:",
        "summaries go to the second channel, too",
    ),
    Mutant(
        "beside-tells-twice",
        BESIDE,
        "        entry.is_told_elsewhere = True\n",
        "        pass\n",
        "the second channel gets a SELL each second",
    ),
    Mutant(
        "beside-tries-once",
        BESIDE,
        "POST_DELAYS_S = (0, 5, 10)",
        "POST_DELAYS_S = (0,)",
        "one lost connection costs the second channel the SELL",
    ),
    Mutant(
        "beside-goes-on-after-success",
        BESIDE,
        "            if not failure:\n                break\n",
        "",
        "the second channel gets each SELL three times",
    ),
    Mutant(
        "beside-result-under-the-pushs-name",
        BESIDE,
        "outcome, outcome=told, attempts=attempts, detail=detail, channel=channel.name",
        "outcome, outcome=told, attempts=attempts, detail=detail",
        "the second channel's failure withdraws the position",
    ),
    Mutant(
        "beside-later-than-a-minute",
        BESIDE,
        "            await self._shared.clock.sleep(OVERDUE_PAUSE_S)",
        "            await self._shared.clock.sleep(UNANSWERED_S)",
        "the second channel gets a SELL up to two minutes late",
    ),
    Mutant(
        "beside-all-clear-left-out",
        BESIDE,
        "            self.tell(follower)\n        return is_posted",
        "            pass\n        return is_posted",
        "the second channel gets the alarm and never its end",
    ),
    Mutant(
        "stop-does-not-hurry",
        STOP,
        "                self._hurry(entry, seconds)\n",
        "",
        "a SELL that failed once is not tried again during a stop",
    ),
    Mutant(
        "stop-does-not-tell-beside",
        STOP,
        "        soon = loop.call_later(seconds * DRAIN_SHARE, self._beside.tell_rest)",
        "        soon = loop.call_later(seconds, self._beside.tell_rest)",
        "a SELL that Pushover does not answer during a stop reaches nobody",
    ),
    Mutant(
        "stop-ends-before-the-side-channels",
        STOP,
        "and (self._beside.is_busy or is_asked or any(coming))",
        "and (is_asked or any(coming))",
        "a stop cuts off what the second channel gets",
    ),
    Mutant(
        "stop-waits-for-what-comes-later",
        STOP,
        "        coming = (e.is_in_flight or e.due < end for e in self._shared.outbox.entries)",
        "        coming = (True for e in self._shared.outbox.entries)",
        "a stop waits 12 s for an attempt that is due in 30",
    ),
    Mutant(
        "second-channels-redirect-counts",
        "delivery/second_channel.py",
        '        return "" if reply.is_success else f"status {reply.status}"',
        '        return "" if reply.status < 400 else f"status {reply.status}"',
        "a login page counts as a delivered SELL",
    ),
)
