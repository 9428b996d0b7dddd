"""Pictures as they are sent: their size, what is on them, and that nothing in their facts breaks them."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from events import SECOND
from pictures.canvas import Canvas
from pictures.chart import price_ticks, spread, time_ticks
from pictures.draw import draw
from pictures.facts import Dark, DarkSpan, DayPicture, Moment, Picture, Seconds, TradePicture
from pictures.process import HEIGHT_MAX, PNG_MAX, WIDTH, flaw
from tests.pictures.made import OPEN, day, trade

NOTHING = Seconds(at=[], price=[], vwap=[], long_vwap=[], mark=[], peak=[])

PICTURES: dict[str, Callable[[], Picture]] = {
    "a trade": trade,
    "a trade of 5 s": lambda: trade(5),
    "a trade of 4 h": lambda: trade(14_400),
    "a trade of no time": lambda: trade(0),
    "a trade with a blind span": lambda: trade(blind=(1_050, 1_100)),
    "a trade without an exit's mark, price and result": lambda: trade(
        exit=None, percent=None, at_once="", sold=Moment(OPEN + 1_190 * SECOND, None)
    ),
    "a trade of which nothing was seen": lambda: trade(seconds=NOTHING),
    "a trade that fell to nothing": lambda: trade(exit=0, peak=4_500, percent=-100.0),
    "a trade whose reason is long": lambda: trade(reason="Shutdown " * 40),
    "a quiet day": day,
    "a day of 9 trades": lambda: day(9),
    "a day of 40 trades": lambda: day(40),
    "a day of which nothing was seen": lambda: day(seconds=0),
    "a day of one second": lambda: day(seconds=1),
    "a day that was dark": lambda: day(dark=(DarkSpan(OPEN, OPEN + 3_600 * SECOND, Dark.AWAY),)),
}


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_of_the_right_size_and_not_blank(name: str) -> None:
    png = draw(PICTURES[name]())
    assert flaw(png) == ""
    image = opened(png)
    assert (image.format, image.mode, image.width) == ("PNG", "RGB", WIDTH)
    assert 400 <= image.height <= HEIGHT_MAX
    assert len(png) < PNG_MAX / 5
    colours = image.getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 50


def test_the_same_facts_give_the_same_picture_and_other_facts_another_one() -> None:
    assert draw(trade()) == draw(trade())
    assert draw(trade()) != draw(trade(percent=20.1))


def test_a_day_with_fewer_trades_has_a_lower_picture() -> None:
    heights = [opened(draw(day(number))).height for number in (0, 3, 6, 12, 40)]
    assert heights == sorted(heights)
    assert (heights[0], heights[-1]) == (710, HEIGHT_MAX)


def test_every_sign_of_a_text_has_a_shape() -> None:
    """Pillow's own font draws an empty box for what it lacks, which is the same box for all."""
    texts = "".join(
        [
            *(value for value in (*vars_of(trade()), *vars_of(day(3)))),
            "0123456789+-−–≤≥×→ %$:.,#()·",
            "not taken, the ask was above Pay ≤; Below VWAP 2×30s; 1 BUY not taken",
        ]
    )
    box = sign("\N{SNOWMAN}")
    assert [each for each in sorted(set(texts)) if sign(each) == box] == []


def vars_of(picture: TradePicture | DayPicture) -> list[str]:
    values = [getattr(picture, name) for name in picture.__struct_fields__]
    return [value for value in values if isinstance(value, str)]


def sign(text: str) -> bytes:
    canvas = Canvas(60, 60, "#ffffff")
    canvas.text((10, 50), text, 40, "#000000")
    return canvas.png(60)


def test_a_line_that_does_not_fit_is_broken_or_cut() -> None:
    canvas = Canvas(100, 100, "#ffffff")
    words = "a word after a word after a word"
    lines = canvas.fitted(words, 22, 120)
    assert " ".join(lines) == words
    assert all(canvas.width_of(line, 22) <= 120 for line in lines)
    assert canvas.fitted("", 22, 120) == []
    assert canvas.cut("short", 22, 120) == "short"
    assert canvas.width_of(canvas.cut(words, 22, 120), 22) <= 120
    assert canvas.cut(words, 22, 120).endswith("...")


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [
        (241.9, 243.1, [242.0, 242.25, 242.5, 242.75, 243.0]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3_800, 4_800, [3_800, 4_000, 4_200, 4_400, 4_600, 4_800]),
    ],
)
def test_prices_at_an_axis_are_round(least: float, most: float, ticks: list[float]) -> None:
    assert price_ticks(least, most) == pytest.approx(ticks)


@pytest.mark.parametrize(("seconds", "step"), [(60, 15), (300, 60), (23_400, 3_600), (10**6, 7_200)])
def test_times_at_an_axis_are_round_and_have_room(seconds: int, step: int) -> None:
    found, times = time_ticks(OPEN, OPEN + seconds * SECOND, 640)
    assert found == step
    assert all(at % (step * SECOND) == 0 for at in times)
    assert OPEN <= times[0] < times[-1] <= OPEN + seconds * SECOND


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([], []),
        ([50.0], [50.0]),
        ([50.0, 51.0], [50.0, 60.0]),
        ([98.0, 99.0], [90.0, 100.0]),
        ([-5.0], [0.0]),
    ],
)
def test_labels_are_moved_apart_and_stay_in(places: list[float], moved: list[float]) -> None:
    assert spread(places, 10, 0, 100) == moved
