"""One session at work: its inbox, its sources and its one consumer."""

from tests.mutants.mutant import Mutant

INBOX = "worker/inbox.py"
WATCH = "worker/watch.py"
TICKS = "worker/ticks.py"

MUTANTS = (
    Mutant(
        "inbox-full-drops-outcomes-and-shutdown",
        INBOX,
        "        self._facts.append(event)\n        self._arrived.set()",
        "        if not self.is_full:\n            self._facts.append(event)\n        self._arrived.set()",
        "a SELL that was told is sent again, and a stop does not sell",
    ),
    Mutant(
        "inbox-has-no-limit",
        INBOX,
        "            elif isinstance(event, (Bar, Quote)) and self.is_full:\n                return False\n",
        "",
        "a burst fills the memory, and decisions are minutes late",
    ),
    Mutant(
        "inbox-full-drops-backfilled-bars",
        INBOX,
        "                await self._has_room.wait()\n",
        "                return False\n",
        "seconds that REST brought are missing in the windows",
    ),
    Mutant(
        "inbox-never-has-room-again",
        INBOX,
        "            self._has_room.set()\n        return event",
        "            pass\n        return event",
        "after one overflow the feed is reopened for ever",
    ),
    Mutant(
        "inbox-offer-beyond-the-limit",
        INBOX,
        "        if not self._has_room.is_set() or len(self._facts) + len(events) >= INBOX_MAX:",
        "        if not self._has_room.is_set():",
        "batches fill the inbox beyond its limit",
    ),
    Mutant(
        "inbox-offer-past-those-that-wait",
        INBOX,
        "        if not self._has_room.is_set() or len(self._facts) + len(events) >= INBOX_MAX:",
        "        if len(self._facts) + len(events) >= INBOX_MAX:",
        "a full inbox is never emptied to its half: the overflow flaps",
    ),
    Mutant(
        "inbox-nap-not-ended-by-a-fact",
        INBOX,
        "            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)",
        "            await asyncio.wait(waiting)",
        "outcomes between sessions are recorded late, and a stop waits",
    ),
    Mutant(
        "overflow-does-not-reopen-the-feed",
        WATCH,
        "                        self._stocks.reopen(FeedCause.OVERFLOW)",
        "                        pass",
        "the bars that were dropped are never fetched: windows with holes",
    ),
    Mutant(
        "loop-lag-holds-nothing",
        WATCH,
        "                live.handle(now, hold)",
        "                pass",
        "a machine that is too slow goes on alerting, late",
    ),
    Mutant(
        "loop-lag-never-ends",
        TICKS,
        "            if self._is_held and clock.now() - self._late_at >= KEEPS_UP_S * SECOND:",
        "            if self._is_held and clock.now() < self._late_at:",
        "one slow moment holds entries all day",
    ),
    Mutant(
        "absence-not-noticed",
        WATCH,
        "                live.handle(now, Tick(away=now - taken_at))\n",
        "                pass\n",
        "after a suspend the late bars count as the feed's fault, and old prices sell",
    ),
    Mutant(
        "absence-noticed-after-the-fact",
        WATCH,
        "            live.handle(now, event)\n            if type(event) is Bar:",
        "            live.handle(now, event)\n            taken_at = clock.now()\n            if type(event) is Bar:",
        "what the handling takes is not counted as absence",
        survives="handling a fact takes no time of the clock that any test could measure",
    ),
    Mutant(
        "source-ends-in-silence",
        WATCH,
        '        raise RuntimeError(\n            "a source of facts has ended"\n        )',
        "        return None",
        "the worker goes on half-blind",
    ),
    Mutant(
        "feed-connected-not-said",
        WATCH,
        "            if type(event) is FeedRestored:\n                self._context.advance(StartEvent.MAY_ASK)\n",
        "",
        "chain and options wait two seconds longer at each start",
    ),
    Mutant(
        "feed-waited-for-without-end",
        WATCH,
        "            asyncio.get_running_loop().call_later(\n"
        "                FEED_FIRST_REAL_S, self._context.advance, StartEvent.MAY_ASK\n"
        "            )\n",
        "",
        "while the feed does not connect no alert is sent at all",
    ),
    Mutant(
        "others-do-not-wait-for-the-feed",
        WATCH,
        "            await self._context.may_ask.wait()\n        await self._pump(source)",
        "            pass\n        await self._pump(source)",
        "a start's first bars come later",
    ),
    Mutant(
        "session-left-at-the-close",
        WATCH,
        "        end = live.engine.session.close + LEAVE_LATE_S * SECOND",
        "        end = live.engine.session.close",
        "the last seconds of the day are missing in the record",
    ),
    Mutant(
        "stop-forgotten-while-a-record-is-looked-for",
        WATCH,
        "        if context.stopping.is_set():\n            return\n        live = await",
        "        live = await",
        "a stop during the start begins a session instead",
    ),
    Mutant(
        "connection-not-kept-warm",
        WATCH,
        "        context.sender.in_session(True)\n",
        "",
        "each alert pays for a new connection",
    ),
    Mutant(
        "connection-kept-warm-at-night",
        WATCH,
        "            context.sender.in_session(False)\n",
        "            pass\n",
        "the push service is asked all night",
    ),
)
