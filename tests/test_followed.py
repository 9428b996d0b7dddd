"""What following each push by hand comes to: which price, at which moment, and when there is none."""

from __future__ import annotations

import pytest

from events import SECOND, AlertKind, Decision, Event, Outcome, Tick, Withdrawn
from followed import (
    Fate,
    FollowedTrades,
    Result,
    Results,
    acted_text,
    dollars_text,
    fate_text,
    headline,
)
from tests.builders import CALL, SESSION, at, chain, quote, row
from tests.builders import dollars as price
from tests.followed_trade import NAME, closed_at, opened_at, outcome

DELAYS_S = (0, 5, 15)
FEE = 0.65


class Day:
    """The call's mid is $1.40 at second 100, and rises by ``step`` dollars a second until it is sold, then falls."""

    def __init__(self, step: float = 0.001, fee: float = FEE) -> None:
        self.trades = FollowedTrades(DELAYS_S, fee)
        self._step = step
        self._sold: int | None = None
        self._second = 95

    def until(self, second: int) -> Day:
        """A quote a second, a cent on either side of the mid."""
        while self._second < second:
            self._second += 1
            turn = self._second if self._sold is None else self._sold - (self._second - self._sold)
            mid = 1.40 + (turn - 100) * self._step
            self.put(quote(self._second, mid - 0.01, mid + 0.01)).put(Tick())
        return self

    def put(self, event: Event, *decisions: Decision) -> Day:
        self.trades.record(at(self._second), event, decisions)
        return self

    def buy(self, became: Outcome | None = Outcome.ACCEPTED, after: int = 0) -> Day:
        self.until(100).put(Tick(), opened_at(100))
        return self if became is None else self.until(100 + after).put(outcome(AlertKind.BUY, became))

    def sell(self, second: int, became: Outcome | None = Outcome.ACCEPTED, after: int = 0) -> Day:
        self.until(second).put(Tick(), closed_at(1.40, 1.39))
        self._sold = second
        return self if became is None else self.until(second + after).put(outcome(AlertKind.SELL, became))

    def result(self, delay_s: int) -> Result:
        found = self.trades.result(NAME, delay_s)
        assert found is not None
        return found


def test_it_pays_the_ask_and_gets_the_bid_that_stand_so_long_after_each_push() -> None:
    day = Day().buy().sell(200).until(300)
    late = day.result(15)
    assert (late.fate, late.paid, late.got) == (Fate.TAKEN, price(1.425), price(1.475))
    assert day.result(5).paid == price(1.415)
    assert late.dollars == pytest.approx(5.0 - 2 * FEE)
    assert late.percent == pytest.approx((5.0 - 2 * FEE) / 142.5 * 100)


def test_without_delay_the_prices_are_the_decisions_own() -> None:
    at_once = Day().buy().sell(200).until(300).result(0)
    assert (at_once.paid, at_once.got) == (price(1.41), price(1.39))
    assert at_once.dollars == pytest.approx(-2.0 - 2 * FEE)


def test_the_delay_counts_from_when_the_push_was_accepted() -> None:
    day = Day().buy(after=3).sell(200, after=40).until(300)
    assert day.result(15).paid == price(1.428)
    assert day.result(15).got == price(1.39 + 0.1 - 0.055)


def test_a_lost_answer_counts_from_the_decision() -> None:
    """The push may have been there at once."""
    day = Day().buy(Outcome.LOST, after=10).sell(200, Outcome.LOST, after=50).until(300)
    assert (day.result(15).paid, day.result(15).got) == (price(1.425), price(1.475))


def test_a_repeat_that_is_accepted_later_moves_nothing() -> None:
    day = Day().buy(after=0).sell(200).until(210)
    day.put(outcome(AlertKind.SELL, Outcome.ACCEPTED)).put(outcome(AlertKind.BUY, Outcome.ACCEPTED)).until(
        300
    )
    assert (day.result(15).paid, day.result(15).got) == (price(1.425), price(1.475))


def test_the_second_channel_tells_a_sell_as_well() -> None:
    day = Day().buy().sell(200, Outcome.REFUSED).until(260)
    assert day.result(15).fate is Fate.UNTOLD
    day.put(outcome(AlertKind.SELL, Outcome.ACCEPTED, channel="second channel")).until(300)
    assert day.result(15).fate is Fate.TAKEN
    assert day.result(15).got == price(1.39 + 0.1 - 0.075)


def test_without_outcomes_the_delay_counts_from_the_decision() -> None:
    """A session that is derived under other rules has no pushes."""
    day = Day().buy(None).sell(200, None).until(300)
    assert (day.result(15).paid, day.result(15).got) == (price(1.425), price(1.475))


def test_a_buy_whose_ask_has_passed_its_limit_is_not_taken() -> None:
    day = Day(step=0.01).buy().sell(200).until(300)
    assert [day.result(delay).fate for delay in DELAYS_S] == [Fate.TAKEN, Fate.TAKEN, Fate.OVER_LIMIT]
    late = day.result(15)
    assert (late.paid, late.dollars, late.percent) == (price(1.56), None, None)


def test_an_ask_at_the_limit_is_paid() -> None:
    day = Day(step=0.0).buy().until(115).put(quote(115, 1.46, 1.48))
    day.sell(200).until(300)
    assert (day.result(15).paid, day.result(15).fate) == (price(1.48), Fate.TAKEN)


@pytest.mark.parametrize(
    ("second", "fate"), [(114, Fate.OPEN), (115, Fate.OPEN), (214, Fate.OPEN), (215, Fate.TAKEN)]
)
def test_a_moment_that_has_not_come_has_no_price(second: int, fate: Fate) -> None:
    day = Day().buy()
    if second > 200:
        day.sell(200)
    found = day.until(second).result(15)
    assert found.fate is fate
    assert (found.paid is None) is (second < 115)
    assert (found.got is None) is (second < 215)
    assert (found.dollars is None) is (fate is Fate.OPEN)


def test_without_a_quote_there_is_no_price() -> None:
    day = Day().buy().until(115)
    day.trades.record(at(200), Tick(), [closed_at(None, None)])
    day.trades.record(at(200), outcome(AlertKind.SELL, Outcome.ACCEPTED), ())
    day.trades.record(at(300), Tick(), ())
    assert [day.result(delay).fate for delay in DELAYS_S] == [Fate.UNPRICED] * 3
    assert (day.result(15).paid, day.result(15).got) == (price(1.425), None)


def test_a_moment_after_the_last_quotes_of_the_day_has_no_price() -> None:
    """The SELL of a late start, or one whose delay reaches beyond the close: the session is over, so nothing is open."""
    late = SESSION.close + 3_600 * SECOND
    day = Day().buy().until(150)
    day.trades.record(late, Tick(), [closed_at(None, None)])
    assert [day.result(delay).fate for delay in DELAYS_S] == [Fate.UNPRICED] * 3
    day.trades.record(late, outcome(AlertKind.SELL, Outcome.ACCEPTED), ())
    assert day.result(15).fate is Fate.UNPRICED


def test_nobody_sells_before_he_has_bought() -> None:
    """The BUY was accepted after a long wait, when its SELL was decided already."""
    day = Day().buy(None).sell(110).until(120).put(outcome(AlertKind.BUY, Outcome.ACCEPTED)).until(136)
    assert (day.result(15).paid, day.result(15).got) == (price(1.395), price(1.375))
    assert day.until(300).result(15).got == price(1.375)


def test_a_refused_buy_says_nothing_about_its_sell() -> None:
    day = Day().buy().put(outcome(AlertKind.BUY, Outcome.REFUSED, channel="second channel"))
    day.sell(200, None).until(300)
    assert day.result(15).fate is Fate.TAKEN


def test_nobody_offering_is_no_price_and_nobody_bidding_is_worth_nothing() -> None:
    day = Day().buy()
    day.trades.record(at(114), quote(114, 1.39, 0), ())
    day.trades.record(at(120), quote(120, 1.39, 1.41), ())
    assert day.result(15).paid is None
    day = Day().buy().sell(200)
    day.trades.record(at(214), quote(214, 0, 0.05), ())
    day.trades.record(at(220), Tick(), ())
    assert (day.result(15).fate, day.result(15).got) == (Fate.TAKEN, 0)
    assert day.result(15).dollars == pytest.approx(-142.5 - 2 * FEE)


def test_the_chain_prices_it_as_well() -> None:
    day = Day().buy()
    day.trades.record(at(112), chain(112, row(bid=1.43, ask=1.45), row(216.0)), ())
    day.trades.record(at(113), chain(13, row(bid=1.10, ask=1.12)), ())  # of another time
    day.trades.record(at(116), quote(116, 1.5, 1.52, contract="O:IWM251002C00216000"), ())
    assert day.result(15).paid == price(1.45)


def test_a_withdrawn_position_was_never_announced() -> None:
    day = Day().buy(None).put(Tick(), Withdrawn(id=NAME, contract=CALL, detail="older than 30 s"))
    assert day.trades.result(NAME, 15) is None
    assert day.trades.results(15).every == ()
    day.put(outcome(AlertKind.BUY, Outcome.UNSENT)).until(120)
    assert not day.trades.is_waiting


def test_quotes_matter_from_the_buy_until_the_last_order_has_its_price() -> None:
    day = Day()
    assert not day.until(99).trades.is_waiting
    day.buy().until(150)
    assert day.trades.is_waiting
    day.sell(200).until(215)
    assert day.trades.is_waiting
    day.until(217)
    assert not day.trades.is_waiting
    assert day.until(400).result(15).got == price(1.475)


def test_prices_that_are_fixed_stay_whatever_comes_later() -> None:
    """The quotes themselves are forgotten once nobody asks for them."""
    day = Day().buy().until(190)
    before = [day.result(delay).paid for delay in DELAYS_S]
    day.sell(200).until(2000)
    assert (
        [day.result(delay).paid for delay in DELAYS_S] == before == [price(1.41), price(1.415), price(1.425)]
    )


# --- A day -------------------------------------------------------------------------------------------


def one(dollars: float, fate: Fate = Fate.TAKEN, delay_s: int = 15) -> Result:
    """A trade of one contract that brings so many dollars without fees."""
    return Result(
        opened_at=at(100),
        opened=opened_at(100),
        closed_at=at(200),
        closed=closed_at(1.4, 1.39),
        delay_s=delay_s,
        fate=fate,
        paid=price(1.00),
        got=price(1.00 + dollars / 100),
        fee=0.0,
    )


def test_a_day_is_told_with_its_number_and_both_moments() -> None:
    late = Results(15, (one(5), one(0), one(-36)))
    at_once = Results(0, (one(9, delay_s=0), one(2, delay_s=0), one(1, delay_s=0)))
    assert (late.up, late.down, late.dollars) == (2, 1, -31.0)
    assert late.mean_percent == pytest.approx(-31 / 3)
    assert headline(late, at_once) == "3 trades, 2 up, 1 down, −$31 at 15 s (+$12 at 0 s)"


@pytest.mark.parametrize(
    ("fate", "said"),
    [
        (Fate.OVER_LIMIT, "1 BUY not taken, the ask was above Pay ≤"),
        (Fate.UNPRICED, "1 without a quote at its moment"),
        (Fate.UNTOLD, "1 whose SELL never arrived"),
        (Fate.OPEN, "1 still open"),
    ],
)
def test_what_is_not_in_the_sum_is_counted(fate: Fate, said: str) -> None:
    late, at_once = Results(15, (one(5), one(7, fate))), Results(0, (one(9), one(9)))
    assert late.taken == [5.0]
    assert headline(late, at_once) == f"1 trade, 1 up, 0 down, +$5 at 15 s (+$18 at 0 s, 2 trades); {said}"


def test_the_same_in_words_that_need_no_explanation() -> None:
    late, at_once = Results(15, (one(2), one(-9))), Results(0, (one(4, delay_s=0), one(-1, delay_s=0)))
    assert acted_text(late, at_once) == (
        "acting 15 s after each push: 2 trades, 1 up, 1 down, −$7 after fees (at the pushes' own prices, 0 s: +$3)"
    )
    assert acted_text(at_once, at_once) == (
        "acting at the pushes' own prices (0 s): 2 trades, 1 up, 1 down, +$3 after fees"
    )
    late = Results(15, (one(2), one(1, Fate.UNPRICED)))
    assert acted_text(late, Results(0, (one(9, delay_s=0),) * 2)) == (
        "acting 15 s after each push: 1 trade, 1 up, 0 down, +$2 after fees "
        "(at the pushes' own prices, 0 s: +$18 from 2 trades); 1 without a quote at its moment"
    )


@pytest.mark.parametrize(
    ("fate", "because"),
    [
        (Fate.OVER_LIMIT, "the ask was above Pay ≤ by then"),
        (Fate.UNPRICED, "no quote was recorded at that moment"),
        (Fate.UNTOLD, "the SELL never arrived"),
        (Fate.OPEN, "it is not over yet"),
    ],
)
def test_a_day_on_which_nothing_could_be_taken_says_why(fate: Fate, because: str) -> None:
    late, at_once = Results(15, (one(1, fate),)), Results(0, (one(9, delay_s=0),))
    assert acted_text(late, at_once) == (
        f"acting 15 s after each push: no trade, because {because} (at the push's own prices, 0 s: +$9 after fees)"
    )
    mixed = Results(15, (one(1, Fate.OPEN), one(1, Fate.UNTOLD)))
    assert acted_text(mixed, Results(0, ())) == (
        "acting 15 s after each push: no trade; 1 whose SELL never arrived; 1 still open"
    )


def test_two_buys_that_are_not_taken() -> None:
    late = Results(15, (one(1, Fate.OVER_LIMIT), one(1, Fate.OVER_LIMIT)))
    assert headline(late, Results(0, ())) == "0 trades; 2 BUYs not taken, the ask was above Pay ≤"


def test_a_day_without_a_trade() -> None:
    assert headline(Results(15, ()), Results(0, ())) == "No trade"
    assert Results(15, ()).mean_percent is None


def test_an_owner_without_delay_gets_one_figure() -> None:
    at_once = Results(0, (one(9, delay_s=0),))
    assert headline(at_once, at_once) == "1 trade, 1 up, 0 down, +$9 at 0 s"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(5.7, 2, "+$5.70"), (-31.4, 0, "−$31"), (0, 2, "+$0.00"), (-0.4, 0, "+$0"), (-1234.5, 2, "−$1,234.50")],
)
def test_dollars_have_a_sign(value: float, digits: int, text: str) -> None:
    assert dollars_text(value, digits) == text


def test_one_trade_in_words() -> None:
    assert fate_text(one(5)) == "+$5.00 (+5.0%) at 15 s"
    assert fate_text(one(5, Fate.OVER_LIMIT)) == "not taken, the ask was above Pay ≤"
    assert fate_text(one(5, Fate.UNPRICED)) == "no quote"
