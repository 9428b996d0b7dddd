"""What time it is: two clocks and the vendor's, at every step, drift, stop and sleep."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import SECOND
from timekeeping import SAME_US, Doubt, DoubtCause, Timekeeper, VendorOffset
from utils import doubt_text

START = 1_759_415_400 * SECOND
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
LIMIT = 2 * SECOND
EARLIER = 50 * SECOND
"""What the steady clock says at the beginning: some time since the machine was switched on."""


class World:
    """The true time, a machine whose two clocks may differ from it, and a vendor who knows it. Times in µs."""

    def __init__(self, off: int = 0) -> None:
        self.true = START
        self.steady = EARLIER
        self.off = off
        """How far the wall clock is ahead of the true time."""
        self.keeper = Timekeeper(self.wall, self.steady)
        self.seen = [self.now]

    @property
    def wall(self) -> int:
        return self.true + self.off

    @property
    def now(self) -> int:
        return self.keeper.at(self.steady)

    @property
    def error(self) -> int:
        """How far `now` is ahead of the true time."""
        return self.now - self.true

    def look(self) -> Doubt | None:
        doubt = self.keeper.check(self.wall, self.steady, LIMIT)
        self.seen.append(self.now)
        return doubt

    def run(self, seconds: float, *, hears: bool = False) -> Doubt | None:
        """Let time pass, the clock compared every second; ``hears``: and the vendor's time every five."""
        doubt = None
        for second in range(round(seconds)):
            self.pass_by(SECOND)
            if hears and second % 5 == 0:
                self.hear()
            doubt = self.look()
        return doubt

    def pass_by(self, span: int) -> None:
        """Time passes, and nobody looks: a stop, or a sleep."""
        self.true += span
        self.steady += span
        self.seen.append(self.now)

    def hear(self, vendor_off: int = 0, took: int = 40_000) -> None:
        """An answer of the vendor, with a ``Date`` in whole seconds."""
        date = (self.true + vendor_off) // SECOND * SECOND
        now = self.now
        self.keeper.hear_date(VendorOffset(date - now, date + SECOND - (now - took), now), self.steady)

    def hear_bars(self, hold: int = 2 * SECOND) -> None:
        """The median of bars that arrive so long after their seconds' ends."""
        self.keeper.hear_bars(self.error + hold, self.now, self.steady)


def check_by_date(doubt: Doubt | None, off: int) -> None:
    assert doubt is not None
    assert doubt.cause is DoubtCause.DATE
    assert doubt.off == pytest.approx(off, abs=SECOND)


# --- The time itself ---------------------------------------------------------------------------------


def test_the_time_is_the_wall_clocks_at_the_start_carried_on_by_the_steady_one() -> None:
    world = World()
    assert world.now == START
    world.pass_by(12_345_678)
    assert world.now == START + 12_345_678


def test_a_step_that_the_vendor_does_not_confirm_is_not_followed_and_doubted_at_once() -> None:
    """600 s ahead for five seconds, then right: the time goes on as if nothing had been."""
    world = World()
    world.run(20, hears=True)
    world.off = 600 * SECOND
    assert world.look() == Doubt(DoubtCause.STEP, 600 * SECOND)
    assert world.run(5, hears=True) == Doubt(DoubtCause.STEP, 600 * SECOND)
    assert world.error == 0
    world.off = 0
    assert world.look() is None
    assert world.error == 0


@pytest.mark.parametrize("off", [DAY, -DAY, 5 * SECOND, -5 * SECOND])
def test_a_step_is_doubted_while_the_vendors_time_is_not_known(off: int) -> None:
    world = World()
    world.off = off
    assert world.run(100) == Doubt(DoubtCause.STEP, off)
    assert world.error == 0


@pytest.mark.parametrize(("off", "is_doubted"), [(LIMIT, False), (LIMIT + 1, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_doubt_of_a_step_begins_past_the_limit(off: int, sign: int, is_doubted: bool) -> None:
    world = World()
    world.off = sign * off
    assert (world.look() is not None) is is_doubted


def test_a_step_forward_that_the_vendor_confirms_is_followed_at_once() -> None:
    world = World(-600 * SECOND)
    check_by_date(world.run(20, hears=True), -600 * SECOND)
    world.off = 0
    assert world.look() is None
    assert world.error == 0


def test_a_step_back_that_the_vendor_confirms_is_given_back_at_a_tenth() -> None:
    world = World(10 * SECOND)
    check_by_date(world.run(20, hears=True), 10 * SECOND)
    world.off = 0
    assert world.look() == Doubt(DoubtCause.SLOWED, 10 * SECOND)
    before = world.now
    world.run(50, hears=True)
    assert world.now - before == 45 * SECOND
    assert world.error == 5 * SECOND
    assert world.run(30, hears=True) == Doubt(DoubtCause.SLOWED, 2 * SECOND)
    assert world.run(5, hears=True) is None
    world.run(20)
    assert world.error == 0


def test_the_vendors_time_may_be_told_after_the_step() -> None:
    world = World()
    world.off = -600 * SECOND
    world.true += 600 * SECOND  # it was wrong before, and is right now
    assert world.look() is None
    assert world.error == -600 * SECOND
    world.off = 0
    assert world.look() == Doubt(DoubtCause.STEP, 600 * SECOND)
    world.hear()
    assert world.look() is None
    assert world.error == 0


def test_a_record_that_is_ahead_is_gone_on_with_and_given_back_once_the_vendor_confirms_the_clock() -> None:
    world = World()
    world.keeper.go_on_from(START + 600 * SECOND, world.steady)
    assert world.now == START + 600 * SECOND
    assert world.run(10) == Doubt(DoubtCause.STEP, -600 * SECOND)
    assert world.error == 600 * SECOND
    world.hear()
    assert world.look() == Doubt(DoubtCause.SLOWED, 600 * SECOND)
    world.run(100)
    assert world.error == 590 * SECOND
    world.pass_by(5900 * SECOND)
    assert world.error == 0


def test_a_record_that_is_right_outlives_a_clock_that_is_behind() -> None:
    """Restarted on a machine whose clock has been lost: the record's time stands until the clock is set."""
    world = World(-DAY)
    world.keeper.go_on_from(START, world.steady)
    world.hear()
    assert world.look() == Doubt(DoubtCause.STEP, -DAY)
    assert world.run(60, hears=True) == Doubt(DoubtCause.STEP, -DAY)
    assert world.error == 0
    world.off = 0
    assert world.look() is None
    assert world.error == 0


def test_a_record_in_the_past_changes_nothing() -> None:
    world = World()
    world.keeper.go_on_from(START - HOUR, world.steady)
    assert world.look() is None
    assert world.error == 0


def test_a_machine_that_slept_wakes_up_with_the_right_time() -> None:
    world = World()
    world.run(10, hears=True)
    world.pass_by(8 * HOUR)
    assert world.look() is None
    assert world.error == 0


def test_a_virtual_machine_that_was_paused_steps_forward_once_the_vendor_agrees() -> None:
    world = World()
    world.run(10, hears=True)
    world.true += HOUR  # and its steady clock has stood still
    assert world.look() == Doubt(DoubtCause.STEP, HOUR)
    world.hear()
    assert world.look() is None
    assert world.error == 0


# --- The vendor's time -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "off", [2_600_000, -2_600_000, 3 * SECOND, -3 * SECOND, -3_500_000, 3 * DAY, -3 * DAY]
)
def test_a_clock_that_differs_from_the_vendors_is_doubted(off: int) -> None:
    world = World(off)
    check_by_date(world.run(10, hears=True), off)
    assert world.error == off


@pytest.mark.parametrize("off", [0, SECOND, -SECOND, 1_400_000, -1_400_000])
def test_a_clock_that_is_near_the_vendors_is_not(off: int) -> None:
    world = World(off)
    for _ in range(100):
        assert world.run(5, hears=True) is None


@pytest.mark.parametrize(
    ("took", "off", "is_doubted"), [(40_000, 2.6, True), (2_000_000, 2.6, False), (2_000_000, 4.0, True)]
)
def test_a_long_exchange_proves_less(took: int, off: float, is_doubted: bool) -> None:
    world = World()
    for _ in range(4):
        world.hear(vendor_off=round(off * SECOND) - took // 2, took=took)  # dated in the middle of it
        doubt = world.run(3)
    assert (doubt is not None) is is_doubted


def exact(keeper: Timekeeper, off: int, steady: int) -> None:
    """A measurement without error: ours is ahead by ``off``."""
    keeper.hear_date(VendorOffset(-off, -off, keeper.at(steady)), steady)


@pytest.mark.parametrize(("off", "is_doubted"), [(LIMIT, False), (LIMIT + 1, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_doubt_of_the_vendors_time_begins_past_the_limit_and_takes_two_measurements(
    off: int, sign: int, is_doubted: bool
) -> None:
    keeper = Timekeeper(START, EARLIER)
    exact(keeper, sign * off, EARLIER)
    for _ in range(5):
        assert keeper.check(START, EARLIER, LIMIT) is None  # one measurement, however often it is looked at
    exact(keeper, sign * off, EARLIER)
    assert (keeper.check(START, EARLIER, LIMIT) is not None) is is_doubted


def test_a_clock_at_the_limit_does_not_flap() -> None:
    keeper = Timekeeper(START, EARLIER)
    verdicts = []
    for second in range(600):
        steady = EARLIER + second * SECOND
        exact(keeper, LIMIT + (1 if second // 2 % 2 else -1) * 200_000, steady)
        verdicts.append(keeper.check(START + second * SECOND, steady, LIMIT) is not None)
    assert verdicts == sorted(verdicts)  # doubt begins once, and stays
    for second in range(600, 602):
        exact(keeper, LIMIT * 3 // 4, EARLIER + second * SECOND)
        last = keeper.check(START + second * SECOND, EARLIER + second * SECOND, LIMIT)
    assert last is None


def test_one_measurement_that_differs_is_not_believed() -> None:
    world = World()
    for _ in range(20):
        world.run(20, hears=True)
        world.hear(vendor_off=30 * SECOND)
        assert world.run(3) is None


@pytest.mark.parametrize(("hold", "off"), [(2, -3), (1, -2), (0, -1)])
def test_bars_that_come_before_their_second_is_over_prove_a_clock_that_is_behind(hold: int, off: int) -> None:
    """Whatever the ``Date`` says; by the 2 s that the vendor holds a bar."""
    world = World()
    for _ in range(3):
        world.hear()
        world.keeper.hear_bars(hold * SECOND + off * SECOND, world.now, world.steady)
        doubt = world.run(1)
    assert doubt == Doubt(DoubtCause.BARS, -3 * SECOND)
    assert "3.0 s behind the vendor's, as its bars tell" in doubt_text(doubt)


@pytest.mark.parametrize(
    ("lag", "is_doubted"), [(5.5, True), (4.1, True), (4.0, False), (2.0, False), (0.0, False), (-0.1, True)]
)
def test_bars_tell_the_time_where_no_date_does(lag: float, is_doubted: bool) -> None:
    world = World()
    for _ in range(3):
        world.keeper.hear_bars(round(lag * SECOND), world.now, world.steady)
        doubt = world.run(1)
    assert (doubt is not None) is is_doubted


def test_a_delayed_plan_is_no_fault_of_the_clock() -> None:
    world = World()
    for _ in range(20):
        world.hear_bars(hold=900 * SECOND)
        assert world.run(15, hears=True) is None


def test_bars_confirm_a_step_where_no_date_does() -> None:
    world = World(-600 * SECOND)
    world.run(1)
    world.hear_bars()
    world.run(15)
    world.off = 0
    assert world.look() is None
    assert world.error == 0


def test_a_source_that_has_fallen_silent_is_overruled_by_the_other() -> None:
    world = World()
    for _ in range(2):
        world.keeper.hear_bars(-SECOND, world.now, world.steady)
        world.run(1)
    assert world.run(590, hears=True) == Doubt(DoubtCause.BARS, -3 * SECOND)
    assert world.run(15, hears=True) is None


def test_what_was_measured_before_the_time_stepped_is_not_used_after_it() -> None:
    world = World(-600 * SECOND)
    now = world.now
    world.hear()
    world.off = 0
    world.look()
    assert world.error == 0
    for _ in range(3):
        world.keeper.hear_date(VendorOffset(600 * SECOND, 601 * SECOND, now), world.steady)
        assert world.run(1) is None


def test_many_dates_in_whole_seconds_tell_fractions_of_them() -> None:
    world = World(2_200_000)
    for _ in range(40):
        world.pass_by(5_137_000)
        world.hear()
        doubt = world.look()
    assert doubt is not None
    assert doubt.off == pytest.approx(2_200_000, abs=100_000)


# --- Whatever happens --------------------------------------------------------------------------------

STEPS = st.sampled_from([0, 0, 3 * SECOND, -3 * SECOND, 600 * SECOND, -600 * SECOND, HOUR, -HOUR, DAY, -DAY])
PATHS = st.lists(
    st.tuples(
        st.sampled_from(
            ["run", "run", "step", "right", "stop", "sleep", "pause", "hear", "bars", "record", "liar"]
        ),
        STEPS,
        st.integers(1, 40),
    ),
    max_size=25,
)


def happen(world: World, path: list[tuple[str, int, int]]) -> None:
    """Everything that can happen to a clock."""
    for kind, by, seconds in path:
        match kind:
            case "run":
                world.run(seconds, hears=seconds % 2 == 0)
            case "step":
                world.off += by + seconds * 137_000
            case "right":
                world.off = 0
            case "stop":
                world.pass_by(seconds * SECOND)
            case "sleep":
                world.pass_by(abs(by))
            case "pause":
                world.true += abs(by)
            case "hear":
                world.hear(took=seconds * 50_000)
            case "bars":
                world.hear_bars(hold=seconds * 100_000)
            case "record":
                world.keeper.go_on_from(world.now + by, world.steady)
            case "liar":
                world.hear(vendor_off=by)
        world.look()


@pytest.mark.parametrize("rate", [-0.02, 0.02, -1.0])
def test_a_wall_clock_that_drifts_or_stands_is_not_run_after(rate: float) -> None:
    world = World()
    doubts = []
    for second in range(400):
        world.off = round(second * SECOND * rate)
        doubts.append(world.run(1, hears=True))
    assert abs(world.error) <= 1_200_000
    assert doubts[-1] is not None
    assert doubts[-1].cause is DoubtCause.STEP


@pytest.mark.parametrize("limit", [10_000, 300_000, 60 * SECOND])
def test_any_limit_can_be_kept(limit: int) -> None:
    """A limit finer than whole seconds is judged by what several of them prove; one of a minute by the minute."""
    world = World()
    for off in (0, limit + SECOND):
        world.off = off
        world.keeper = Timekeeper(world.wall, world.steady)
        for _ in range(40):
            world.pass_by(5_137_000)
            world.hear()
            world.hear_bars(hold=1_500_000)
            doubt = world.keeper.check(world.wall, world.steady, limit)
        assert (doubt is not None) is bool(off)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(PATHS, STEPS)
def test_the_time_never_goes_back_and_never_stands_still(path: list[tuple[str, int, int]], off: int) -> None:
    world = World(off)
    happen(world, path)
    assert world.seen == sorted(world.seen)
    before = world.now
    for _ in range(10):
        world.run(1)
        assert world.now - before >= 0.9 * SECOND - 1
        before = world.now


@settings(max_examples=150, deadline=None, derandomize=True)
@given(PATHS, STEPS)
def test_once_clock_and_vendor_agree_the_time_is_right_and_doubt_ends(
    path: list[tuple[str, int, int]], off: int
) -> None:
    world = World(off)
    happen(world, path)
    world.off = 0
    world.run(700)  # what was believed of the vendor is forgotten
    assert world.run(30, hears=True) is None or world.error > LIMIT // 2
    world.pass_by(max(0, world.error) * 10)
    assert abs(world.error) <= SAME_US
    assert world.run(20, hears=True) is None


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wrong", "right", "sleep"]), st.sampled_from([1, -1]), st.integers(4, 10**6)
        ),
        max_size=20,
    )
)
def test_a_step_that_the_vendor_contradicts_is_never_followed(path: list[tuple[str, int, int]]) -> None:
    world = World()
    world.run(10, hears=True)
    for kind, sign, seconds in path:
        if kind == "sleep":
            world.pass_by(seconds % 600 * SECOND)
        else:
            world.off = sign * seconds * SECOND if kind == "wrong" else 0
        doubt = world.run(10, hears=True)
        assert world.error == 0
        assert (doubt is not None) is (world.off != 0)


# --- In words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doubt", "text"),
    [
        (Doubt(DoubtCause.DATE, -3 * SECOND), "this machine's clock is 3.0 s behind the vendor's"),
        (Doubt(DoubtCause.DATE, 3 * DAY), "this machine's clock is 3 days ahead of the vendor's"),
        (
            Doubt(DoubtCause.STEP, 600 * SECOND),
            "this machine's clock is 10m00s ahead of the program's time, and the vendor's does not confirm it",
        ),
        (
            Doubt(DoubtCause.SLOWED, 600 * SECOND),
            "the program's time is 10m00s ahead of the right time, and runs at 0.9 of its rate for 1h40m",
        ),
    ],
)  # fmt: skip
def test_doubt_names_the_clock_its_difference_and_what_to_do(doubt: Doubt, text: str) -> None:
    assert doubt_text(doubt) == text
    assert ("set this machine's clock" in doubt.remedy) is (doubt.cause is not DoubtCause.SLOWED)


def test_the_time_is_compared_once_two_answers_have_agreed() -> None:
    keeper = Timekeeper(0, 0)
    assert not keeper.is_compared
    for second in (10, 20):
        at = second * 1_000_000
        keeper.hear_date(VendorOffset(low=-500_000, high=500_000, at=at), at)
        keeper.check(at, at, 2_000_000)
    assert keeper.is_compared
