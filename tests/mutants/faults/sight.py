"""Whether the market can be seen, and what the owner is told of it."""

from tests.mutants.mutant import Mutant

SIGHT, TELLING, PROGRESS, LAGS, LINK = "sight.py", "telling.py", "progress.py", "lags.py", "link.py"

MUTANTS = (
    Mutant(
        "bar-while-the-socket-is-down-ends-blindness",
        SIGHT,
        "        if self.cause is not None and self._link.is_up:\n            self._see_again",
        "        if self.cause is not None:\n            self._see_again",
        "a bar that was still unread releases entries on a dead connection",
    ),
    Mutant(
        "late-bar-ends-blindness",
        SIGHT,
        "        if lag <= self._lag_limit:\n            if self.cause is not None or self.absence is not None:",
        "        if lag >= 0:\n            if self.cause is not None or self.absence is not None:",
        "late bars release entries",
    ),
    Mutant(
        "lost-link-is-not-blind",
        SIGHT,
        "        if not self._link.is_up:\n            lost = self._link.lost\n",
        "        if not self._link.is_up and now < 0:\n            lost = self._link.lost\n",
        "entries go on without a connection",
    ),
    Mutant(
        "stall-boundary",
        SIGHT,
        "        if progress.silence(now) >= self._stall:",
        "        if progress.silence(now) > self._stall:",
        "silence counts a fact late",
    ),
    Mutant(
        "traded-symbols-silence-overlooked",
        SIGHT,
        "        if progress.is_overdue(now, self._symbol):\n            return FeedCause.UNSEEN, self._symbol\n",
        "",
        "the benchmark's bars hide that the traded symbol's are missing",
    ),
    Mutant(
        "lag-overlooked",
        SIGHT,
        "        if progress.lags.is_late or progress.of[self._symbol].lags.is_late:",
        "        if progress.lags.is_late and not progress.of:",
        "entries on bars that are ten seconds late",
    ),
    Mutant(
        "outage-opens-no-gap",
        SIGHT,
        "                    self.gaps.open(symbol, own.start + SECOND, now)",
        "                    pass",
        "a BUY on windows with holes",
    ),
    Mutant(
        "pause-counts-as-the-feeds-silence",
        SIGHT,
        "        self._woke_at = self.progress.flows_since = now\n",
        "        self.progress.flows_since = now\n",
        "each suspend rings",
    ),
    Mutant(
        "recovery-without-alarm",
        TELLING,
        "    (Telling.DUE, TellingStep.ENDED): Telling.QUIET,",
        "    (Telling.DUE, TellingStep.ENDED): Telling.OVER,",
        "a recovery comes of something that nobody was told",
    ),
    Mutant(
        "alarms-without-spacing",
        TELLING,
        "or self._alarmed_at is None or now - self._alarmed_at >= self._spacing",
        "or self._alarmed_at is None or now >= self._alarmed_at",
        "a flapping feed rings all day",
    ),
    Mutant(
        "alarm-waits-with-a-position",
        TELLING,
        "        return position is not None or self._alarmed_at is None",
        "        return self._alarmed_at is None",
        "the second blindness with a position open is not told",
    ),
    Mutant(
        "named-cause-not-told",
        TELLING,
        "        if not (self._is_due(now, self._telling) or is_named_now)",
        "        if not self._is_due(now, self._telling)",
        "the owner is not told that another copy took the connection",
    ),
    Mutant(
        "undelivered-alarm-counts-as-told",
        TELLING,
        "        if event.id == self._alarm_id:",
        "        if event.id == self._alarm_id and event.channel:",
        "an alarm that failed is never told again",
    ),
    Mutant(
        "halt-counts-as-one-symbols-silence",
        PROGRESS,
        "        return now - self.flows_since >= self._unseen and self.was_silent(now, symbol, self._unseen)",
        "        return self.was_silent(now, symbol, self._unseen)",
        "after a halt the first bar of one symbol makes the other one unseen",
    ),
    Mutant(
        "lags-forget-none",
        LAGS,
        "            self.late -= 1\n",
        "            pass\n",
        "one late minute makes the feed late all day",
    ),
    Mutant(
        "link-lost-since-the-last-loss",
        LINK,
        "        if self.is_up or self.lost_at is None:\n",
        "        if self.is_up or self.lost_at is not None:\n",
        "an outage with many failed attempts is never told",
    ),
    Mutant(
        "gap-covered-beyond-the-answer",
        "gaps.py",
        "(max(start, covered.end), end))",
        "(max(end, covered.end), end))",
        "a BUY on windows with holes",
    ),
)
