"""A short soak in real time, and what judges a long one: on made samples and messages, to see that it can say no."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sim.push_account import Message
from tests.soak import draw, growth, judge
from tests.soak.__main__ import main, soaked
from tests.soak.clock import Night, SoakClock, Step, Times, seconds
from tests.soak.draw import Kind
from tests.soak.ground import Seen
from tests.soak.lives import Sample
from tests.soak.play import Soak
from tests.soak.table import table
from tests.stage import TOKEN
from tests.worker.process_town import bearable

MINUTES = 20
DAY = seconds(25_000)
BEGINS = tuple(range(0, 5 * DAY, DAY))


def pace() -> float:
    """How fast the market goes: on a busy machine less than sixty times the machine's own pace, but not for minutes."""
    return max(30.0, bearable(60.0))


async def test_twenty_minutes_under_faults_break_no_promise(tmp_path: Path) -> None:
    plan = draw.plan(7, 1, MINUTES)
    seen, wrong, is_whole = await soaked(plan, tmp_path, pace())
    said = "\n".join([*wrong, *table(seen)])
    assert not wrong, said
    assert is_whole and len(seen.done) == len(plan.faults) >= 25, said
    asked = [life.asked for life in seen.lives if life.asked]  # others ended as the vendor refused their key
    assert asked == ["SIGKILL", "SIGTERM", "SIGTERM"], said
    assert seen.messages and seen.samples and seen.lives[-1].loops, said
    brought = {fault.name if fault.kind is Kind.MARKET else fault.kind.value for fault in seen.done}
    assert sum(seen.fired[name] > 0 for name in brought) > len(brought) / 2, said


# --- The plan and the clock ---


def test_a_seed_draws_the_same_run_again_and_a_fault_every_thirty_seconds() -> None:
    plan = draw.plan(3, 5)
    assert plan == draw.plan(3, 5) != draw.plan(4, 5)
    assert [day.session.date for day in plan.days] == [
        "2025-10-02",
        "2025-10-03",
        "2025-10-06",
        "2025-10-07",
        "2025-10-08",
    ]
    gaps = {after.at - before.at for before, after in zip(plan.faults, plan.faults[1:], strict=False)}
    assert min(gaps) == seconds(30) and len(gaps) == 2, "30 s, and the nights"
    assert {fault.kind for fault in plan.faults} == set(Kind)
    assert plan.deaths == 6


def test_the_clock_leaps_over_a_night_and_its_wall_clock_steps() -> None:
    began = SoakClock(Times(0, 1.0))
    origin = -began.awake() * 1000 + 0  # the machine's time now, as a clock with origin 0 reads it
    now = -origin - seconds(100) * 1000
    clock = SoakClock(
        Times(0, 1.0, (Night(seconds(50), seconds(1_000)),), now), (Step(0, seconds(500), seconds(7)),)
    )
    assert 100 <= clock.awake() / 1e6 < 160
    assert 1_100 <= clock.true() / 1e6 < 1_160
    assert clock.now() - clock.true() >= seconds(6)


# --- What grows ---


def samples(
    rss: Callable[[int, int], float], descriptors: Callable[[int], int] = lambda _: 15
) -> list[Sample]:
    """A sample a minute of one process, over five days; ``rss`` by day and second of it, ``descriptors`` by the hour."""
    return [
        Sample(
            0,
            begin + at,
            begin + at,
            day,
            round(rss(day, at // 1_000_000)),
            descriptors(at // growth.HOUR),
            4,
        )
        for day, begin in enumerate(BEGINS)
        for at in range(0, DAY, seconds(60))
    ]


def test_memory_that_a_day_fills_and_the_night_empties_does_not_grow() -> None:
    grown = growth.by_day(samples(lambda day, at: 6e7 + at * 400 + (day * 7919 + at * 31) % 50_000), BEGINS)
    assert grown is not None and abs(grown.percent) < 0.1
    assert not grown.is_over(judge.RSS_GROWTH_MOST)


def test_memory_that_grows_by_two_percent_a_day_is_told() -> None:
    grown = growth.by_day(samples(lambda day, at: 6e7 * (1 + 0.02 * day) + at * 400), BEGINS)
    assert grown is not None and grown.days == 5
    assert grown.percent == pytest.approx(1.7, abs=0.3)
    assert grown.is_over(judge.RSS_GROWTH_MOST)


def test_a_day_in_whose_middle_the_process_began_is_not_compared() -> None:
    late = seconds(7_200)
    seen = [
        dataclasses.replace(sample, age=sample.at - late)
        for sample in samples(lambda day, at: 6e7 + at * 400 if day else 5e7)
        if sample.at >= late
    ]
    grown = growth.by_day(seen, BEGINS)
    assert grown is not None and abs(grown.percent) < 0.001 and grown.days == 4


def test_two_days_say_nothing_about_growth_by_the_day() -> None:
    assert growth.by_day([s for s in samples(lambda day, at: 6e7 + at) if s.day < 2], BEGINS) is None


def test_descriptors_that_rise_by_the_hour_are_told_and_those_that_come_and_go_are_not() -> None:
    rising = growth.floors(samples(lambda *_: 6e7, lambda hour: 12 + hour), lambda sample: sample.descriptors)
    steady = growth.floors(
        samples(lambda *_: 6e7, lambda hour: 12 + hour % 3), lambda sample: sample.descriptors
    )
    assert not any(growth.rising(floor, judge.SLACK) for floor in steady.values())
    one_day = growth.floors(
        [s for s in samples(lambda *_: 6e7, lambda hour: 12 + hour) if s.day == 0],
        lambda sample: sample.descriptors,
    )
    assert not growth.rising([11, 13, 15, 13, 13, 13, 13, 11, 14, 14], judge.SLACK)  # as a real day had it
    assert rising and all(growth.rising(floor, judge.SLACK) for floor in one_day.values())


# --- What judges ---


def seen_of(folder: Path, *messages: Message) -> Seen:
    """What a run that has just begun would have seen, with these messages."""
    return Seen(draw.plan(1, 1, MINUTES), folder, 60.0, messages=list(messages))


def message(title: str, text: str) -> Message:
    """A message that Pushover has accepted."""
    return Message(at=1, fields={"title": title, "message": text})


def test_a_buy_without_a_sell_and_a_second_one_without_a_mark_are_told(tmp_path: Path) -> None:
    buy = message("IWM 240 CALL — BUY", "Now\nIWM #abc123")
    wrong = list(judge.violations(seen_of(tmp_path, buy, msgspec.structs.replace(buy, at=2))))
    assert wrong == [
        "BUY #abc123 is in no record",
        "BUY #abc123 has no SELL, and nothing says why",
        "BUY #abc123 came 2 times without a mark",
    ]


@pytest.mark.shows_keys
def test_a_secret_and_a_foreign_file_are_told(tmp_path: Path) -> None:
    sessions = tmp_path / "data" / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "left.part").write_text(f"token={TOKEN}", encoding="utf-8")
    (sessions / "2025-10-02.jsonl.gz.17-0.part").write_bytes(b"")
    assert sorted(judge.violations(seen_of(tmp_path))) == [
        "a file that is no record was left: left.part",
        "an earlier process has left what it had begun to write: 2025-10-02.jsonl.gz.17-0.part",
        "the push token is in data/sessions/left.part",
    ]


def test_a_record_that_does_not_verify_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data" / "sessions" / "2025-10-02.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("no record\n", encoding="utf-8")
    wrong = list(judge.violations(seen_of(tmp_path)))
    assert len(wrong) == 1 and wrong[0].startswith("2025-10-02.jsonl does not verify: ")


@pytest.mark.parametrize("words", [["--speed", "61"], ["--days", "0"], ["--minutes", "-1"]])
def test_the_command_line_has_bounds(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)


async def test_a_run_that_is_stopped_ends_with_what_it_has(tmp_path: Path) -> None:
    def stop_once_it_runs(seen: Seen) -> None:
        if seen.lives and seen.lives[-1].loops:
            soak.stop()

    soak = Soak(draw.plan(1, 1, MINUTES), tmp_path, pace(), stop_once_it_runs)
    seen = await soak.run()
    assert seen.awake < seen.plan.awake
    assert [life.status for life in seen.lives] == [0]
    assert not list(judge.violations(seen))
