"""Each invariant's judge finds a story that breaks it, and none finds anything in a good one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation import made_story as made
from tests.simulation.books import Books
from tests.simulation.checker import JUDGES
from tests.simulation.invariants.limits import derived_again
from tests.simulation.made_story import (
    BUY_S,
    BUY_TEXT,
    BUY_TITLE,
    CLOSED,
    ID,
    LENGTH,
    OPENED,
    SELL_S,
    SELL_TEXT,
    SELL_TITLE,
    Made,
    moment,
    outcome,
)
from tests.simulation.story import Frame, Injected, Life, LifeEnd, Line, Place
from tests.stage import KEY

Spoil = Callable[[Made], None]


def found(story: Made) -> set[str]:
    """The invariants that a story breaks. A made record cannot be derived again, so I6 has tests of its own."""
    books = Books(story.story())
    return {
        violation.invariant for judge in JUDGES if judge is not derived_again for violation in judge(books)
    }


@pytest.mark.parametrize("trade", [True, False])
def test_a_good_story_breaks_nothing(tmp_path: Path, trade: bool) -> None:
    assert found(Made(tmp_path).day(trade=trade)) == set()


def _change(story: Made, kind: str, **changes: object) -> None:
    """Changes the decision of that kind."""
    for _, _, decisions, _ in story.facts:
        for decision in decisions:
            if decision["type"] == kind:
                decision.update(changes)


def _unsafe(story: Made, kind: str, safe: float | None) -> None:
    """Changes how long after the decision of that kind its line was on the disk."""
    story.facts = [
        (at, event, decisions, safe if any(each["type"] == kind for each in decisions) else before)
        for at, event, decisions, before in story.facts
    ]


def _without(story: Made, *kinds: str) -> None:
    """Takes decisions of those kinds out of the record."""
    story.facts = [
        (at, event, [each for each in decisions if each["type"] not in kinds], safe)
        for at, event, decisions, safe in story.facts
    ]


def _no_push(story: Made, word: str) -> None:
    story.pushes = [push for push in story.pushes if word not in push.text["title"]]


def buy_before_the_disk(story: Made) -> None:
    _unsafe(story, "opened", 0.5)


def sell_before_the_disk(story: Made) -> None:
    _unsafe(story, "closed", 0.5)


def buy_without_a_record(story: Made) -> None:
    _without(story, "opened", "closed")
    _no_push(story, "SELL")


def buy_without_a_sell(story: Made) -> None:
    _without(story, "closed")
    _no_push(story, "SELL")


def two_sells_decided(story: Made) -> None:
    story.fact(SELL_S + 40, {"type": "tick"}, CLOSED)


def withdrawn_though_told(story: Made) -> None:
    _without(story, "closed")
    _no_push(story, "SELL")
    story.fact(
        BUY_S + 5, {"type": "tick"}, {"type": "withdrawn", "id": ID, "contract": made.CONTRACT, "detail": ""}
    )


def two_positions_at_once(story: Made) -> None:
    story.fact(BUY_S + 40, {"type": "tick"}, {**OPENED, "id": "aaaaaa"})


def a_buy_in_the_cooldown(story: Made) -> None:
    story.fact(SELL_S + 40, {"type": "tick"}, {**OPENED, "id": "aaaaaa"})


def another_price_on_the_phone(story: Made) -> None:
    story.pushes[0] = replace(
        story.pushes[0], fields=(("title", BUY_TITLE), ("message", BUY_TEXT.replace("~$0.45", "~$0.54")))
    )


def sell_never_told(story: Made) -> None:
    _no_push(story, "SELL")


def sell_told_late_without_cause(story: Made) -> None:
    _no_push(story, "SELL")
    story.push(SELL_S + 20, SELL_TITLE, SELL_TEXT)


def stale_buy(story: Made) -> None:
    story.pushes[0] = replace(story.pushes[0], first_byte_at=moment(BUY_S + 50))


def unmarked_duplicate(story: Made) -> None:
    story.pushes[1] = replace(story.pushes[1], answer_arrived_at=None)
    story.push(SELL_S + 20, SELL_TITLE, SELL_TEXT)


def needless_repeat(story: Made) -> None:
    story.pushes[1] = replace(story.pushes[1], accepted_at=None, status=400)
    story.push(SELL_S + 20, SELL_TITLE, SELL_TEXT.replace(f"\n#{ID}", f"\nRepeat of #{ID}\n#{ID}"))


def told_again_though_answered(story: Made) -> None:
    story.push(SELL_S + 20, SELL_TITLE, SELL_TEXT.replace(f"\n#{ID}", f"\nRepeat of #{ID}\n#{ID}"))


def buy_again_after_a_lost_answer(story: Made) -> None:
    story.pushes[0] = replace(story.pushes[0], answer_arrived_at=None)
    story.push(BUY_S + 10, BUY_TITLE, BUY_TEXT.replace(f"\n#{ID}", f"\nRepeat of #{ID}\n#{ID}"))


def lateness_unsaid(story: Made) -> None:
    story.pushes[1] = replace(
        story.pushes[1], first_byte_at=moment(SELL_S + 100), accepted_at=moment(SELL_S + 101)
    )
    story.injected.append(Injected(0, "push_down", moment(SELL_S), moment(SELL_S + 100), 1))


def buy_without_an_outcome(story: Made) -> None:
    story.facts = [fact for fact in story.facts if fact[1].get("kind") != "buy"]


def old_bar(story: Made) -> None:
    story.facts = [
        (
            at + 8 if event.get("start") == moment(BUY_S) and event["symbol"] == "IWM" else at,
            event,
            decisions,
            safe,
        )
        for at, event, decisions, safe in story.facts
    ]
    story.pushes[0] = replace(story.pushes[0], first_byte_at=moment(BUY_S + 11.02))


def old_benchmark(story: Made) -> None:
    def is_kept(at: float) -> bool:
        return not BUY_S - 20 < at < BUY_S + 20

    story.frames = [
        frame
        for frame in story.frames
        if "SPY" not in str(frame.payload) or is_kept((frame.at - made.BEGIN) / 1e6)
    ]
    story.facts = [fact for fact in story.facts if fact[1].get("symbol") != "SPY" or is_kept(fact[0])]


def a_quote_nobody_sent(story: Made) -> None:
    _change(story, "opened", bid=4300)


def a_socket_that_is_gone(story: Made) -> None:
    story.connections[0] = replace(story.connections[0], closed_at=moment(BUY_S))
    story.connections.append(
        replace(story.connections[0], number=1, opened_at=moment(BUY_S + 30), closed_at=None)
    )


def sold_above_the_level(story: Made) -> None:
    story.frames = [
        replace(frame, payload=str(frame.payload).replace("0.375", "0.43").replace("0.385", "0.44"))
        for frame in story.frames
    ]


def a_wrong_vwap(story: Made) -> None:
    _change(story, "opened", vwap=240.02)


def an_invented_bar(story: Made) -> None:
    story.fact(300.5, made.bar_fact("IWM", 299, 241.0))


def a_changed_bar(story: Made) -> None:
    story.facts = [
        (at, {**event, "volume": 99.0} if event.get("start") == moment(300) else event, decisions, safe)
        for at, event, decisions, safe in story.facts
    ]


def a_lost_bar(story: Made) -> None:
    story.facts = [fact for fact in story.facts if fact[1].get("start") != moment(300)]


def a_lost_correction(story: Made) -> None:
    story.frame(350, "IWM", 300, 240.5)


def a_signal_from_a_correction(story: Made) -> None:
    story.bar(
        BUY_S + 9, "IWM", BUY_S, 240.75, {**OPENED, "type": "declined", "vwap": (59 * 240.0 + 240.75) / 60}
    )


def second_voice(story: Made) -> None:
    story.lives.append(Life(1, moment(50), None, moment(80), LifeEnd.ENDED, 4, "", ()))
    story.push(60, "IWM armed", "", life=1)


def a_storm_of_connections(story: Made) -> None:
    story.dials += [made.dial(second) for second in range(13)]


def back_at_once_after_an_eviction(story: Made) -> None:
    status = '[{"ev":"status","status":"max_connections","message":""}]'
    story.frames.append(Frame(moment(40), 1, Place.STOCKS, status, moment(40)))
    story.dials.append(made.dial(45))


def three_push_connections(story: Made) -> None:
    story.connections += [replace(story.connections[2], number=number) for number in (8, 9)]


def attempts_too_near(story: Made) -> None:
    story.pushes[1] = replace(story.pushes[1], accepted_at=None, status=500)
    story.push(SELL_S + 3, SELL_TITLE, SELL_TEXT)


def buy_beyond_the_cap(story: Made) -> None:
    for number in range(12):
        story.push(number * 10, f"IWM: thing {number}", "")


def a_key_in_the_log(story: Made) -> None:
    story.log.append(Line(moment(5), 0, f"GET https://api/?apiKey={KEY}"))


def a_key_in_a_file(story: Made) -> None:
    (story.folder / "lease").write_text(KEY)


def a_log_without_end(story: Made) -> None:
    story.log += [Line(moment(5), 0, "again")] * 3000


def a_silence_that_beats(story: Made) -> None:
    story.frames = [
        frame for frame in story.frames if frame.at < moment(100) or frame.cluster is Place.OPTIONS
    ]
    story.facts = [fact for fact in story.facts if fact[0] < 100]
    _no_push(story, "CALL")


def blind_for_good(story: Made) -> None:
    story.frames = [
        frame for frame in story.frames if frame.at < moment(440) or frame.cluster is Place.OPTIONS
    ]
    story.facts = [fact for fact in story.facts if fact[0] < 440]
    story.beats = [beat for beat in story.beats if beat.at < moment(440)]


def no_process_that_beats(story: Made) -> None:
    _without(story, "opened", "closed")
    _no_push(story, "CALL")
    story.lives = [
        Life(0, moment(-1), None, moment(100), LifeEnd.KILLED, None, "", ()),
        Life(1, moment(400), moment(LENGTH), moment(LENGTH + 1), LifeEnd.STOPPED, 0, "", ()),
    ]


def out_of_hours(story: Made) -> None:
    story.changes["session"] = "2025-10-03"


BROKEN: tuple[tuple[str, Spoil], ...] = (
    ("I1", buy_before_the_disk),
    ("I1", sell_before_the_disk),
    ("I2", buy_without_a_record),
    ("I2", buy_without_a_sell),
    ("I2", two_sells_decided),
    ("I2", withdrawn_though_told),
    ("I2", two_positions_at_once),
    ("I11", a_buy_in_the_cooldown),
    ("I2", another_price_on_the_phone),
    ("I3", sell_never_told),
    ("I3", sell_told_late_without_cause),
    ("I3", stale_buy),
    ("I3", unmarked_duplicate),
    ("I3", needless_repeat),
    ("I3", told_again_though_answered),
    ("I3", buy_again_after_a_lost_answer),
    ("I3", lateness_unsaid),
    ("I3", buy_without_an_outcome),
    ("I4", old_bar),
    ("I4", old_benchmark),
    ("I4", a_quote_nobody_sent),
    ("I4", a_socket_that_is_gone),
    ("I4", sold_above_the_level),
    ("I5", a_wrong_vwap),
    ("I5", an_invented_bar),
    ("I5", a_changed_bar),
    ("I5", a_lost_bar),
    ("I5", a_lost_correction),
    ("I5", a_signal_from_a_correction),
    ("I7", second_voice),
    ("I8", a_storm_of_connections),
    ("I8", back_at_once_after_an_eviction),
    ("I8", three_push_connections),
    ("I8", attempts_too_near),
    ("I8", buy_beyond_the_cap),
    ("I8", a_log_without_end),
    ("I9", a_key_in_the_log),
    ("I9", a_key_in_a_file),
    ("I10", a_silence_that_beats),
    ("I10", blind_for_good),
    ("I10", no_process_that_beats),
    ("I11", out_of_hours),
)


@pytest.mark.shows_keys  # some stories leave one, to be found
@pytest.mark.parametrize(("invariant", "spoil"), BROKEN, ids=[spoil.__name__ for _, spoil in BROKEN])
def test_a_broken_promise_is_found(tmp_path: Path, invariant: str, spoil: Spoil) -> None:
    story = Made(tmp_path).day()
    spoil(story)
    assert invariant in found(story)


def test_exceptions_that_are_promised_are_none(tmp_path: Path) -> None:
    """A slow disk lets an alert go after a second; a SELL whose answer was lost is repeated, marked; a stop names what is left."""
    story = Made(tmp_path).day()
    _unsafe(story, "closed", 5.0)
    story.pushes[1] = replace(story.pushes[1], first_byte_at=moment(SELL_S + 1.5), answer_arrived_at=None)
    story.push(SELL_S + 11, SELL_TITLE, SELL_TEXT.replace(f"\n#{ID}", f"\nLate 10 s\nRepeat of #{ID}\n#{ID}"))
    assert found(story) == set()


def test_a_sell_of_a_buy_that_was_refused_is_not_missed(tmp_path: Path) -> None:
    story = Made(tmp_path).day()
    story.pushes = [replace(story.pushes[0], accepted_at=None, status=400)]
    story.facts = [fact for fact in story.facts if fact[1].get("kind") not in ("buy", "sell")]
    story.fact(BUY_S + 4, outcome("buy", "refused"))
    assert found(story) == set()
