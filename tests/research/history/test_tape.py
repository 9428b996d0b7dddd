"""A past session as the facts of a live one: their order, what is looked for, and that nothing is made up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from engine import Engine
from events import (
    SECOND,
    AlertOutcome,
    Bar,
    Chain,
    Closed,
    Covered,
    Decision,
    Evaluation,
    Event,
    FeedAlarmed,
    FeedRecovered,
    FeedRestored,
    Opened,
    Quote,
    Tick,
)
from research.history.session import BLOCK_US, Block, ContractQuotes, PastSession, QuoteRow, blocks
from research.history.tape import STEP_US, play
from rules import Rules
from tests.research.made import added, bare, whole

Told = tuple[int, Event, list[Decision]]


def told(past: PastSession | None = None, bar_delay_s: int = 2) -> list[Told]:
    """Every fact of a session with what was decided on it."""
    found: list[Told] = []

    def take(now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None) -> None:
        found.append((now, event, list(decisions)))

    play(past or whole(), Rules(), take, bar_delay_s=bar_delay_s)
    return found


def test_the_facts_come_in_one_order_and_the_same_engine_decides_the_same_on_them() -> None:
    facts = told()
    times = [now for now, _, _ in facts]
    assert times == sorted(times)
    assert isinstance(facts[0][1], FeedRestored)
    assert sum(isinstance(event, Covered) for _, event, _ in facts) == 2
    engine = Engine(Rules(min_open_interest=0), whole().session)
    assert [engine.handle(now, event) for now, event, _ in facts] == [made for _, _, made in facts]
    assert any(isinstance(item, Opened) for _, _, made in facts for item in made)
    assert told() == facts


def test_a_bar_arrives_two_seconds_after_its_end_or_as_late_as_one_says() -> None:
    for delay in (2, 7):
        bars = [(now, event) for now, event, _ in told(bare(), delay) if isinstance(event, Bar)]
        assert bars and all(now == bar.end + delay * SECOND for now, bar in bars)
        assert not any(bar.backfilled for _, bar in bars)


def test_a_tick_follows_every_second_and_the_chain_comes_every_five() -> None:
    facts, session = told(bare()), bare().session
    ticks = [now for now, event, _ in facts if isinstance(event, Tick)]
    assert {later - earlier for earlier, later in pairwise(ticks)} == {SECOND}
    chains = [(now, event) for now, event, _ in facts if isinstance(event, Chain)]
    assert len(chains) == (session.close - session.open) // (5 * SECOND)
    assert all(row.bid == row.ask == row.quoted_at == 0 for _, chain in chains for row in chain.rows)
    assert all(row.delta is None and row.iv is None for _, chain in chains for row in chain.rows)


def test_quotes_come_once_a_second_and_those_of_the_held_call_four_times() -> None:
    held: str | None = None
    between = 0
    for now, event, decisions in told():
        if isinstance(event, Quote):
            assert event.at <= now
            if now % SECOND:
                assert now % STEP_US == 0 and event.contract == held
                between += 1
        for decision in decisions:
            held = decision.contract if isinstance(decision, Opened) else held
            held = None if isinstance(decision, Closed) else held
    assert between > 50


def test_each_push_is_accepted_a_moment_after_its_decision() -> None:
    facts = told()
    decided = [(now, item.id) for now, _, made in facts for item in made if isinstance(item, Opened | Closed)]
    accepted = [(now, event.id) for now, event, _ in facts if isinstance(event, AlertOutcome)]
    assert [name for _, name in decided] == [name for _, name in accepted]
    assert all(
        0 < later - earlier <= SECOND for (earlier, _), (later, _) in zip(decided, accepted, strict=True)
    )


def test_without_quotes_nothing_is_decided_and_what_was_looked_for_is_named() -> None:
    played = play(bare(), Rules())
    assert played.engine.book.entries == 0 and played.signals
    assert all(block.start <= played.signals[-1] + 10 * SECOND for block in played.missing)
    again = play(added(bare(), played.missing), Rules())
    assert again.engine.book.entries > 0
    held = again.missing
    assert held and held.isdisjoint(played.missing)  # those of the calls that were held
    assert play(whole(), Rules()).missing == frozenset()


def test_other_rules_look_for_other_quotes() -> None:
    assert play(whole(), Rules(stream_contracts=30)).missing


def test_the_quotes_of_a_call_are_wanted_for_a_minute_after_its_sell() -> None:
    facts = told()
    for now, _, decisions in facts:
        for decision in decisions:
            if isinstance(decision, Closed) and now + 61 * SECOND < whole().session.close:
                wanted = blocks(decision.contract, now, now + 60 * SECOND)
                assert all(whole().has(block) for block in wanted)


def test_a_stretch_without_any_bar_blinds_as_it_does_live() -> None:
    past = bare()
    cut = past.session.open + 3_600 * SECOND
    holed = past._replace(bars=[bar for bar in past.bars if not cut <= bar.start < cut + 120 * SECOND])
    made = [(now, item) for now, _, decisions in told(holed) for item in decisions]
    (alarm,) = [now for now, item in made if isinstance(item, FeedAlarmed)]
    (recovered,) = [item for _, item in made if isinstance(item, FeedRecovered)]
    assert cut < alarm < cut + 120 * SECOND
    assert recovered.gap_end - recovered.gap_start >= 120 * SECOND
    assert not any(isinstance(item, FeedAlarmed) for _, _, decisions in told(past) for item in decisions)


def test_a_quote_stands_until_the_next_but_not_over_a_block_that_is_not_there() -> None:
    start = 5_000_000 * BLOCK_US
    rows = [QuoteRow(start + 10, 1, 2, 1.0, 1.0), QuoteRow(start + 20, 3, 4, 1.0, 1.0)]
    number = start // BLOCK_US
    quotes = ContractQuotes("O:X", rows, frozenset({number, number + 1, number + 3}))
    assert quotes.standing(start + 9) is None
    assert quotes.standing(start + 10) == rows[0] and quotes.standing(start + 19) == rows[0]
    assert quotes.standing(start + BLOCK_US + 1) == rows[1]  # unchanged in the next block, which is known
    assert quotes.standing(start + 2 * BLOCK_US) is None  # not known
    assert quotes.standing(start + 3 * BLOCK_US) is None  # known, but what came in between is not


def test_blocks_of_a_span_hold_both_of_its_ends() -> None:
    found = blocks("O:X", BLOCK_US - 1, 2 * BLOCK_US)
    assert found == [Block("O:X", 0), Block("O:X", 1), Block("O:X", 2)]
    assert (found[1].start, found[1].end) == (BLOCK_US, 2 * BLOCK_US)


def test_nothing_depends_on_the_order_in_which_rows_were_kept() -> None:
    past = whole()
    turned = past._replace(
        bars=past.bars[::-1], calls=past.calls[::-1], quotes=dict(reversed(list(past.quotes.items())))
    )
    assert msgspec.json.encode([made for _, _, made in told(turned)]) == msgspec.json.encode(
        [made for _, _, made in told()]
    )
