"""What is kept of a session for its pictures: values second by second, and spans of which nothing is known."""

from __future__ import annotations

from events import SECOND
from pictures import gather
from pictures.facts import Dark, DarkSpan, DayPicture, TradePicture, decoded, encoded
from pictures.gather import Gathered
from tests.pictures.made import OPEN, day, gathered, trade
from timekeeping import AWAY_S


def at(second: int) -> int:
    return OPEN + second * SECOND


def keep(made: Gathered, second: int, price: float | None = 242.0, *, is_blind: bool = False) -> None:
    made.second(at(second), price=price, vwap=None, long_vwap=None, mark=None, peak=None, is_blind=is_blind)


def test_what_was_kept_comes_back_within_the_span_and_absent_stays_absent() -> None:
    made = Gathered()
    made.second(at(1), price=242.5, vwap=242.4, long_vwap=242.3, mark=0, peak=4_500, is_blind=False)
    keep(made, 2, None)
    keep(made, 3)
    seconds = made.between(at(1), at(2), 100)
    assert seconds.at == [at(1), at(2)]
    assert (seconds.price, seconds.vwap, seconds.long_vwap) == ([242.5, None], [242.4, None], [242.3, None])
    assert (seconds.mark, seconds.peak) == ([0, None], [4_500, None])  # a worthless call has a mark of 0


def test_many_seconds_are_thinned_out_evenly() -> None:
    seconds = gathered(0, 10_000).between(at(0), at(9_999), 1_000)
    assert len(seconds.at) == 1_000
    assert {b - a for a, b in zip(seconds.at, seconds.at[1:], strict=False)} == {10 * SECOND}


def test_nothing_is_known_of_the_price_while_blind_but_of_the_mark() -> None:
    made = gathered(0, 60, blind=(20, 30), held=(0, 60))
    seconds = made.between(at(0), at(59), 100)
    assert [second for second, price in enumerate(seconds.price) if price is None] == list(range(20, 30))
    assert None not in seconds.mark
    assert made.dark(at(0), at(59)) == [DarkSpan(at(19), at(29), Dark.BLIND)]


def test_a_gap_of_ticks_says_that_the_program_was_not_running() -> None:
    made = Gathered()
    keep(made, 0)
    keep(made, AWAY_S)
    assert made.dark(at(0), at(AWAY_S)) == []
    keep(made, 500)
    assert made.dark(at(0), at(500)) == [DarkSpan(at(AWAY_S), at(500), Dark.AWAY)]
    keep(made, 501, is_blind=True)
    keep(made, 502, is_blind=True)
    assert made.dark(at(400), at(502)) == [
        DarkSpan(at(400), at(500), Dark.AWAY),
        DarkSpan(at(500), at(502), Dark.BLIND),
    ]
    assert made.dark(at(0), at(AWAY_S)) == []


def test_what_was_before_the_first_tick_and_after_the_last_is_not_known() -> None:
    made = Gathered()
    assert made.dark(at(0), at(100)) == [DarkSpan(at(0), at(100), Dark.AWAY)]
    keep(made, 50)
    assert made.dark(at(0), at(100)) == [
        DarkSpan(at(0), at(50), Dark.AWAY),
        DarkSpan(at(50), at(100), Dark.AWAY),
    ]
    assert made.dark(at(50 - AWAY_S), at(50 + AWAY_S)) == []


def test_memory_is_bounded() -> None:
    made = gathered(0, gather.SECONDS_MAX + 10)
    assert made.between(at(0), at(10**6), 10**6).at[-1] == at(gather.SECONDS_MAX - 1)


def test_nothing_gathered_is_an_empty_picture_and_no_error() -> None:
    assert Gathered().between(at(0), at(10), 100).at == []


def test_facts_survive_their_way_to_the_process_that_draws() -> None:
    one, other = trade(), day(2)
    assert isinstance(one, TradePicture)
    assert isinstance(other, DayPicture)
    assert (decoded(encoded(one)), decoded(encoded(other))) == (one, other)
