"""Quotes, chain and the exchange's status."""

from tests.mutants.mutant import Mutant

OPTIONS = "feeds/options.py"
CHAIN = "feeds/chain.py"
OUTLET = "feeds/outlet.py"
EXCHANGE = "feeds/exchange.py"

MUTANTS = (
    Mutant(
        "old-quote-replaces-a-newer-one",
        OPTIONS,
        "(event.quote.at, event.sequence) <= (known.quote.at, known.sequence):",
        "event.quote.at < known.quote.at - SECOND:",
        "a late quote prices the position",
    ),
    Mutant(
        "quotes-of-others-with-the-held-one",
        OPTIONS,
        "            due = self._fresh if beat % HAND_ON_ALL_EVERY == 0 else self._fresh & {self._wanted.held}",
        "            due = self._fresh if beat % HAND_ON_ALL_EVERY == 0 else set[str]()",
        "exits see the price once a second only",
    ),
    Mutant(
        "held-contract-not-confirmed",
        OPTIONS,
        "            group.create_task(self._confirmation.run())\n",
        "",
        "without a stream the position has no price",
    ),
    Mutant(
        "confirmation-as-slow-as-with-a-stream",
        OPTIONS,
        "            limit = rules.quote_confirm_seconds if self._streaming() else 0",
        "            limit = 10 * rules.quote_confirm_seconds",
        "without a stream the position is priced late",
    ),
    Mutant(
        "unwanted-contracts-kept",
        OPTIONS,
        "                await stream.unsubscribe(old)\n",
        "                pass\n",
        "the stream grows all day, until it is too slow",
    ),
    Mutant(
        "held-contract-not-acknowledged-ignored",
        OPTIONS,
        '        if not stream.acknowledged or f"Q.{self._wanted.held}" in stream.pending:',
        "        if not stream.acknowledged:",
        "the position's quotes never stream",
    ),
    Mutant(
        "silent-quotes-never-reopen",
        OPTIONS,
        '                raise Lost(FeedCause.DROPPED, f"no quote for {quiet:.0f} s")',
        "                pass",
        "a quote stream that stalls stays silent all day",
    ),
    Mutant(
        "empty-chain-replaces-a-good-one",
        CHAIN,
        "        if self._has_rows and not chain.rows:",
        "        if self._failures < 0:",
        "an empty answer leaves no call to buy, and the log says that none expire",
    ),
    Mutant(
        "chain-polled-fast-while-refused",
        CHAIN,
        "        return REFUSED_POLL_S if error.is_lasting else 0.0",
        "        return 0.0",
        "the vendor blocks a client whose plan lacks options",
    ),
    Mutant(
        "chain-polled-slowly-without-a-stream",
        CHAIN,
        "rules.chain_poll_seconds if self._streaming() else rules.chain_fallback_poll_seconds",
        "rules.chain_poll_seconds",
        "without a stream the quotes are too old to enter",
    ),
    Mutant(
        "chain-polled-at-night",
        CHAIN,
        "        while self._link.in_session(self._clock.now()):",
        "        while self._clock.now():",
        "the chain is polled after the close",
    ),
    Mutant(
        "offered-past-those-that-wait",
        OUTLET,
        "self._is_read and not self.batches and self._offer(items):",
        "self._offer(items):",
        "a bar overtakes an older one",
    ),
    Mutant(
        "feed-ends-in-silence",
        OUTLET,
        '    raise RuntimeError(f"the {name} has ended, and nobody had asked it to")',
        "    return",
        "a feed that has ended looks like a quiet market",
        survives="the pump raises the same of a source that has ended",
    ),
    Mutant(
        "closed-exchange-holds-nothing",
        EXCHANGE,
        "        return Hold(reason=HoldReason.MARKET_CLOSED, on=True)",
        "        return None",
        "a BUY on a day without trading",
    ),
    Mutant(
        "exchange-asked-once",
        EXCHANGE,
        "                if self._status == OPEN:\n                    break",
        "                break",
        "a wrong first answer holds entries all day",
    ),
    Mutant(
        "exchange-late-status-counts-at-once",
        EXCHANGE,
        'STATUSES = {OPEN: 1, "closed": 1, "extended-hours": 2}',
        'STATUSES = {OPEN: 1, "closed": 1, "extended-hours": 1}',
        "the vendor's delay at the open holds entries and rings",
    ),
)
