"""Settings: where each came from, and what is legal and odd."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

import config
from checks.settings import OFF_AT_ZERO, check_oddities, check_settings
from tests.checks.given import SECRETS, USER, settings_of


def test_each_setting_and_where_it_came_from() -> None:
    environment = {**SECRETS, "STOP_LOSS_PERCENT": "20", "HEARTBEAT_URL": "https://hc.example.com/Canary"}
    settings, sources = config.load(environment, None)
    checks = check_settings(settings, sources, verbose=True)
    lines = [check.line().strip() for check in checks][1:]
    assert len(lines) == len(config.variable_names())
    assert "✓ POLYGON_API_KEY = set (environment)" in lines
    assert "✓ HEARTBEAT_URL = set (environment)" in lines
    assert "✓ SECOND_CHANNEL_URL = not set (default)" in lines
    assert "✓ STOP_LOSS_PERCENT = 20 (environment)" in lines
    assert "✓ DAILY_SUMMARY = on (default)" in lines
    assert not [line for line in lines if "Canary" in line]
    # Without being asked for all, only what was given, and how many were not.
    short = [check.line().strip() for check in check_settings(settings, sources)][1:]
    assert short == [
        *(line for line in lines if line.endswith("(environment)")),
        f"✓ {len(lines) - 5} others at their default (--verbose shows them)",
    ]


def odd(environment: Mapping[str, str] = MappingProxyType({}), /, **changes: str) -> list[str]:
    """What is found odd besides the missing heartbeat."""
    settings = settings_of(**{"HEARTBEAT_URL": "https://hc.example.com/x", **changes})
    return [check.line().strip() for check in check_oddities(settings, environment)]


def test_the_defaults_are_not_odd_but_for_the_heartbeat() -> None:
    assert odd() == []
    (line,) = odd(HEARTBEAT_URL="")
    assert line.startswith("⚠ HEARTBEAT_URL is not set: if the whole machine dies, nobody tells you")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PUSHOVER_TOKEN": USER}, "are the same"),
        ({"POLYGON_WS_URL": "wss://delayed.massive.com"}, "delayed feed"),
        ({"SELL_PRIORITY": "1"}, "SELL_PRIORITY"),
        ({"LOG_LEVEL": "ERROR"}, "LOG_LEVEL"),
        ({"ON_SHUTDOWN": "keep"}, "unwatched"),
        ({"BENCHMARK": ""}, "BENCHMARK is empty"),
        ({"RELATIVE_VOLUME_MIN": "0"}, "RELATIVE_VOLUME_MIN is 0"),
        ({"DELTA_STRETCH_DOWN": "0", "DELTA_STRETCH_UP": "0"}, "delta range"),
        ({"HARD_TIME_STOP": "15:59"}, "HARD_TIME_STOP is later than 15:55"),
        ({"MAX_LAG_SECONDS": "61"}, "MAX_LAG_SECONDS"),
        ({"MAX_LAG_SECONDS": "2"}, "MAX_LAG_SECONDS is under 3"),
        ({"ENTRY_BAR_SECONDS": "2"}, "ENTRY_BAR_SECONDS is under 3"),
        ({"ENTRY_QUOTE_SECONDS": "0.5"}, "ENTRY_QUOTE_SECONDS is under 1"),
        ({"VOLUME_MIN_BARS": "1000"}, "VOLUME_MIN_BARS is more than an ordinary VOLUME_WINDOW_SECONDS holds"),
        ({"MOMENTUM_SECONDS": "10"}, "MOMENTUM_MIN_BARS is more than an ordinary MOMENTUM_SECONDS holds"),
        ({"WARMUP_SECONDS": "21600"}, "there can be no entry at all"),
        *[({name: "0"}, f"{name} is 0: this protection is off") for name in OFF_AT_ZERO],
    ],
)
def test_what_is_legal_and_odd(changes: dict[str, str], words: str) -> None:
    (line,) = odd(**changes)
    assert line.startswith("⚠")
    assert words in line


def test_a_slip_of_the_pen_in_the_environment() -> None:
    assert odd({"STOP_LOSS_PERCENTS": "1", "PATH": "/bin", "MASSIVE_API_KEY": "x", "SYMBOL": "IWM"}) == [
        "⚠ the environment has STOP_LOSS_PERCENTS, which is not a setting — did you mean STOP_LOSS_PERCENT?"
    ]
