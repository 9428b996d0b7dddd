"""Greeks that the vendor gives and the prices do not bear out; calls of another class; prices that explain nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_selector import Refused, Selected, select
from events import ChainRow, ContractRule, Declined, Opened
from option_pricing import call_delta
from option_quotes import is_standard, nearest
from rules import Rules
from tests.builders import SESSION, Story, at, bar, chain, row
from tests.surge import QUIET_END, calm, quick, surge
from tests.test_contract_selector import NOW, SPOT, YEARS, choose, fair, fallen
from wording import selection_line

ANY = Rules(min_premium=0, stop_room_spreads=0)


def implied(strike: float, iv: float = 0.3) -> float:
    return call_delta(SPOT, strike, YEARS, iv)


@pytest.mark.parametrize(
    ("off", "stands"), [(0.1499, True), (0.1501, False), (-0.1499, True), (-0.1501, False)]
)
def test_a_vendors_delta_stands_up_to_fifteen_hundredths_from_the_implied_one(
    off: float, stands: bool
) -> None:
    computed = implied(215.4)
    choice = choose(fair(215.4, delta=round(computed + off, 6)), rules=ANY)
    assert isinstance(choice, Selected)
    assert choice.delta == pytest.approx(computed + off if stands else computed, abs=1e-4)
    assert choice.doubted == (not stands)


def test_a_call_nine_dollars_in_the_money_is_not_bought_at_a_delta_of_forty() -> None:
    choice = choose(fair(206.2, cents=4, delta=0.40, iv_given=0.25))
    assert isinstance(choice, Refused)
    assert fallen(choice) == {ContractRule.DELTA: 1}
    assert choice.doubted == 1


@pytest.mark.parametrize("mid", [8.90, 8.99])
def test_a_call_below_its_intrinsic_value_is_bought_on_nobodys_word(mid: float) -> None:
    choice = choose(row(206.2, mid - 0.01, mid + 0.01, delta=0.40, iv=0.25))
    assert isinstance(choice, Refused)
    assert fallen(choice) == {ContractRule.DELTA: 1}


def test_a_call_that_is_dearer_than_any_volatility_makes_it_is_bought_on_nobodys_word() -> None:
    """A quote that slipped by a factor of 100."""
    choice = choose(row(215.0, 139.0, 141.0, delta=0.42))
    assert isinstance(choice, Refused)
    assert fallen(choice) == {ContractRule.DELTA: 1}


def test_a_delta_out_of_the_order_of_strikes_is_replaced_although_it_is_near() -> None:
    """0.47 at 215.6 and 0.41 at 215.4: one is wrong. Four others say which."""
    rows = [fair(strike) for strike in (214.2, 214.6, 215.0, 215.4)]
    wrong = fair(215.6, delta=0.47)
    found = choose(*rows, wrong, fair(216.0), rules=ANY)
    assert isinstance(found, Selected)
    assert found.doubted == 1
    alone = choose(wrong, rules=ANY)
    assert isinstance(alone, Selected)
    assert (alone.delta, alone.doubted) == (0.47, 0)


def test_equal_deltas_are_in_order() -> None:
    rows = [fair(strike, delta=0.42) for strike in (215.3, 215.4, 215.5, 215.6)]
    found = choose(*rows, rules=ANY)
    assert isinstance(found, Selected)
    assert found.doubted == 0


@pytest.mark.parametrize("delta", [None, 0.0])
def test_greeks_that_are_missing_or_all_zero_are_computed(delta: float | None) -> None:
    choice = choose(fair(215.6, delta=delta, iv_given=0.0))
    assert isinstance(choice, Selected)
    assert choice.delta == pytest.approx(implied(215.6), abs=1e-3)
    assert choice.iv == pytest.approx(0.3, rel=1e-2)


@pytest.mark.parametrize(
    ("given", "stands"), [(2.9, True), (3.1, False), (0.031, True), (0.029, False), (30.0, False)]
)
def test_a_vendors_volatility_stands_up_to_ten_times_the_implied_one_or_a_tenth(
    given: float, stands: bool
) -> None:
    choice = choose(fair(215.6, iv_given=given))
    assert isinstance(choice, Selected)
    assert choice.iv == pytest.approx(given if stands else 0.3, rel=2e-3)


@pytest.mark.parametrize(
    ("contract", "symbol", "is_plain"),
    [
        ("O:IWM251002C00215000", "IWM", True),
        ("O:IWM1251002C00215000", "IWM", False),
        ("O:2IWM251002C00215000", "IWM", False),
        ("O:IWMX251002C00215000", "IWM", False),
        ("O:BRKB251002C00500000", "BRK.B", True),
        ("O:BRK.B251002C00500000", "BRK.B", False),
        ("IWM", "IWM", False),
    ],
)
def test_a_plain_call_has_the_symbols_own_root(contract: str, symbol: str, is_plain: bool) -> None:
    assert is_standard(row(contract=contract), symbol) is is_plain
    assert not is_standard(row(contract=contract, shares=10), symbol)


def test_a_call_of_another_class_is_neither_bought_nor_streamed() -> None:
    story = calm(Story(quick()))
    twin = row(contract="O:IWM1251002C00215000", bid=1.39, ask=1.40)
    second = QUIET_END
    for offset in range(8):
        second = QUIET_END + offset
        story.tell(second + 3, bar(second, 660.0, symbol="SPY"))
        story.tell(second + 3, chain(second + 3, twin))
        story.tell(second + 3, bar(second, round(215.02 + 0.02 * offset, 2), 1000.0 + 200 * offset))
    made = [decision for _, decision in story.decisions]
    assert {type(decision) for decision in made} == {Declined}
    last = made[-1]
    assert isinstance(last, Declined)
    assert last.fallen == ((ContractRule.SHARES, 1),)
    assert story.engine.quotes.nearest(10) == ()


def test_the_alert_shows_the_delta_that_was_used_and_the_log_how_many_were_doubted() -> None:
    story = calm(Story(quick()))
    made = surge(story, rows=(row(delta=0.30),), stops_at_entry=True)
    (decision,) = [item for item in made if isinstance(item, Opened)]
    assert decision.delta == pytest.approx(0.53, abs=0.05)
    assert decision.doubted == 1
    assert "; 1 delta doubted; " in selection_line(decision)


GREEK = st.one_of(st.none(), st.floats(-1, 1, allow_nan=False))
VOLATILITY = st.one_of(st.none(), st.floats(0, 20, allow_nan=False))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(GREEK, VOLATILITY), min_size=12, max_size=12))
def test_whatever_the_vendor_says_of_greeks_what_is_bought_lies_where_its_price_says(
    greeks: list[tuple[float | None, float | None]],
) -> None:
    strikes = [213.0 + place * 0.4 for place in range(12)]
    rows: list[ChainRow] = [
        fair(strike, delta=delta, iv_given=iv or 0.0)
        for strike, (delta, iv) in zip(strikes, greeks, strict=True)
    ]
    choice = choose(*rows, rules=ANY)
    if isinstance(choice, Refused):
        return
    computed = implied(choice.row.strike / 1000)
    assert abs(choice.delta - computed) <= 0.1501
    assert 0.2 - 0.151 <= computed <= 0.65 + 0.151
    assert 0.0299 <= choice.iv <= 3.01


@given(st.integers(0, 2**32), st.floats(0.001, 1e6), st.sampled_from((-1, 0, 1, 23_400 * 10**6)))
def test_no_spot_and_no_time_left_raise(seed: int, spot: float, left: int) -> None:
    rows = [fair(215.0), fair(216.0, delta=None), row(0.0, contract="O:IWM251002C00000000")]
    known: dict[str, Any] = {}
    found = select(Rules(), now=NOW, close=NOW + left, spot=spot, rows=rows, prices=known, chain_age=0)
    assert isinstance(found, Refused)
    assert len(nearest(rows, spot, 10)) == 3
    assert at(0) == SESSION.open and seed >= 0
