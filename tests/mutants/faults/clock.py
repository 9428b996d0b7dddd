"""The clock: which time counts, and when it is doubted."""

from tests.mutants.mutant import Mutant

KEEPING, EXCHANGE, UTILS, VENDOR_TIME = (
    "timekeeping.py",
    "feeds/exchange.py",
    "utils.py",
    "worker/vendor_time.py",
)

MUTANTS = (
    Mutant(
        "clock-doubted-in-one-direction",
        KEEPING,
        "        is_beyond = abs(off) - vague >",
        "        is_beyond = off - vague >",
        "a clock that is behind is never doubted: entries after the cut-off",
    ),
    Mutant(
        "clock-step-doubted-in-one-direction",
        KEEPING,
        "        if abs(self._step) > limit:",
        "        if self._step > limit:",
        "a clock that was set back is followed in silence",
    ),
    Mutant(
        "clock-doubted-by-one-measurement",
        KEEPING,
        "MEASUREMENTS_IN_A_ROW = 2",
        "MEASUREMENTS_IN_A_ROW = 1",
        "one strange header holds entries and rings",
    ),
    Mutant(
        "clock-flaps-at-its-limit",
        KEEPING,
        "limit * (RELEASE_SHARE if self.is_off else 1)",
        "limit",
        "a clock that is off by about the limit rings all day",
    ),
    Mutant(
        "clock-follows-any-step",
        KEEPING,
        "            if off <= limit and off <= max(abs(known.middle), NEAR_US):",
        "            if off >= 0:",
        "a clock that was set wrong by an hour moves the time stop",
    ),
    Mutant(
        "clock-goes-back",
        KEEPING,
        "        self._lead, self._lead_since = max(0, now - self._line - steady), steady\n",
        "",
        "a clock that is set back makes the record's time go back, and ends the worker",
    ),
    Mutant(
        "clock-late-bars-doubt-it",
        KEEPING,
        "ahead_counts=not date.is_fresh(steady, DATE_FIRST_US))",
        "ahead_counts=True)",
        "a delayed plan is taken for a wrong clock",
    ),
    Mutant(
        "clock-old-measurement-counts",
        KEEPING,
        "        if vendor.at >= self._moved_at:\n",
        "        if vendor is not None:\n",
        "a measurement of before a step doubts the mended clock",
    ),
    Mutant(
        "clock-doubt-holds-nothing",
        EXCHANGE,
        "        self._is_held = doubt is not None\n        return Hold(",
        "        self._is_held = doubt is not None\n        return None and Hold(",
        "entries go on by a wrong clock",
    ),
    Mutant(
        "clock-not-asked-before-the-open",
        EXCHANGE,
        '            self._asking = asyncio.create_task(self._request_time(), name="clock question")',
        "            pass",
        "a wrong clock is noticed only after the open",
    ),
    Mutant(
        "clock-early-bars-not-counted",
        EXCHANGE,
        "        self._lags.append((now, now - start - SECOND))",
        "        pass",
        "a clock that is minutes behind looks like a silent feed",
    ),
    Mutant(
        "clock-repeats-counted",
        EXCHANGE,
        "        if not bar.backfilled and bar.start > self._newest.get(bar.symbol, 0):",
        "        if not bar.backfilled:",
        "a repeated bar doubts the clock",
    ),
    Mutant(
        "clock-doubt-asleep-not-told",
        VENDOR_TIME,
        "            context.sender.submit(\n                notices.clock_doubt(",
        "            _ = (\n                notices.clock_doubt(",
        "a clock that is wrong by hours sleeps through the open",
    ),
    Mutant(
        "clock-doubt-asleep-told-each-minute",
        VENDOR_TIME,
        "            self._told_at = now\n            context.sender",
        "            context.sender",
        "a wrong clock rings all night",
    ),
    Mutant(
        "clock-not-set-right-asleep",
        VENDOR_TIME,
        "            clock.begin_anew()\n            self._judge.look()",
        "            self._judge.look()",
        "a clock that was days ahead sleeps through sessions",
    ),
    Mutant(
        "clock-sleeps-over-a-step",
        UTILS,
        "            await asyncio.sleep(min(max(0.0, left) / self.speed, NAP_REAL_S))",
        "            await asyncio.sleep(max(0.0, left) / self.speed)",
        "a clock that steps forward is noticed as late as the sleep was long",
    ),
    Mutant(
        "clock-holiday-is-a-session",
        UTILS,
        "    if day.weekday() >= SATURDAY or day in closed:",
        "    if day.weekday() >= SATURDAY:",
        "an alarm on every holiday",
    ),
    Mutant(
        "clock-half-day-is-whole",
        UTILS,
        "        close=_moment(day, EARLY_CLOSE if early else CLOSE),",
        "        close=_moment(day, CLOSE),",
        "a position is held beyond the close of a half day",
    ),
)
