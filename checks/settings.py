"""Checks the settings: which were given and where, and which are legal but odd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import config
from checks.check import Check, Severity
from config import Settings
from rules import FULL_DAY_CLOSE_S, seconds_of_day

EMERGENCY_PRIORITY = 2
"""Pushover's priority that repeats until it is acknowledged."""

LAG_ODD_SECONDS = 60
"""A greater limit for late bars protects from nothing."""

BAR_DELAY_SECONDS = 3
"""Bars arrive about 2 s after their second has ended; a smaller limit catches ordinary ones."""

QUOTE_PAUSE_SECONDS = 1
"""A contract's newest quote is passed on at this interval."""

FILLED_SHARE = 2 / 3
"""The share of seconds with a bar in an ordinary window: in up to a third of them nothing is traded."""


def setting_text(value: Any) -> str:
    """Returns a setting's value as the environment spells it; for a secret, only whether it is set."""
    if hasattr(value, "get_secret_value"):
        return "set" if value.get_secret_value() else "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_settings(settings: Settings, sources: Mapping[str, str], *, verbose: bool = False) -> list[Check]:
    """Lists each setting that was given, with its value and source; with ``verbose``, the defaults too."""
    file = Path(".env").absolute()
    read = f"{file} is read" if file.is_file() else f"there is no {file}: environment and defaults only"
    shown = {name: source for name, source in sources.items() if verbose or source != "default"}
    lines = [read] + [
        f"{name} = {setting_text(getattr(settings, name.lower())) or '(empty)'} ({source})"
        for name, source in shown.items()
    ]
    if others := len(sources) - len(shown):
        lines.append(f"{others} others at their default (--verbose shows them)")
    return [Check("Settings", Severity.OK, line) for line in lines]


ODD: tuple[tuple[Callable[[Settings], bool], str, str], ...] = (
    (
        lambda s: not s.heartbeat_url.get_secret_value(),
        "HEARTBEAT_URL is not set: if the whole machine dies, nobody tells you",
        "set it to a check at healthchecks.io or a similar service",
    ),
    (
        lambda s: s.pushover_token == s.pushover_user_key,
        "PUSHOVER_TOKEN and PUSHOVER_USER_KEY are the same",
        "the token is the application's, the user key is yours",
    ),
    (
        lambda s: "delayed" in s.polygon_ws_url,
        "POLYGON_WS_URL is a delayed feed",
        "every bar will be too late to act on: use the real-time address",
    ),
    (
        lambda s: s.sell_priority < EMERGENCY_PRIORITY,
        "SELL_PRIORITY is under 2: a SELL sounds once",
        "2 repeats until acknowledged, for 25 minutes",
    ),
    (
        lambda s: s.log_level in {"WARNING", "ERROR"},
        "LOG_LEVEL hides the lines of the session",
        "INFO shows which condition stood in the way",
    ),
    (
        lambda s: s.on_shutdown == "keep",
        "ON_SHUTDOWN is keep: after a stop, an open position is unwatched",
        "close sends its SELL instead",
    ),
    (lambda s: not s.benchmark, "BENCHMARK is empty: the SPY lag condition is off", ""),
    (lambda s: s.relative_volume_min == 0, "RELATIVE_VOLUME_MIN is 0: that condition is off", ""),
    (
        lambda s: s.delta_stretch_down == 0 and s.delta_stretch_up == 0,
        "DELTA_STRETCH_DOWN and _UP are 0: on many days no contract is inside the delta range",
        "",
    ),
    (
        lambda s: s.hard_time_stop > "15:55",
        "HARD_TIME_STOP is later than 15:55",
        "many brokers close 0DTE positions before that, some from 15:00 on",
    ),
    (
        lambda s: s.max_lag_seconds > LAG_ODD_SECONDS,
        "MAX_LAG_SECONDS is over a minute: entries on old prices",
        "a 0DTE option moves within seconds",
    ),
    (
        lambda s: s.max_lag_seconds < BAR_DELAY_SECONDS,
        f"MAX_LAG_SECONDS is under {BAR_DELAY_SECONDS}: bars come about 2 s late, so the feed may always be blind",
        "the default is 15",
    ),
    (
        lambda s: 0 < s.entry_bar_seconds < BAR_DELAY_SECONDS,
        f"ENTRY_BAR_SECONDS is under {BAR_DELAY_SECONDS}: bars come about 2 s late, so there may be no entry at all",
        "the default is 5",
    ),
    (
        lambda s: s.entry_quote_seconds < QUOTE_PAUSE_SECONDS,
        "ENTRY_QUOTE_SECONDS is under 1: quotes are updated once a second, so many entries would have none",
        "the default is 3",
    ),
    (
        lambda s: s.volume_min_bars > s.volume_window_seconds * FILLED_SHARE,
        "VOLUME_MIN_BARS is more than an ordinary VOLUME_WINDOW_SECONDS holds: there may be no entry at all",
        "up to a third of the seconds have no bar",
    ),
    (
        lambda s: s.momentum_min_bars > s.momentum_seconds * FILLED_SHARE,
        "MOMENTUM_MIN_BARS is more than an ordinary MOMENTUM_SECONDS holds: there may be no entry at all",
        "up to a third of the seconds have no bar",
    ),
)
"""Settings that are legal but odd: the test, what is odd, what to do."""

OFF_AT_ZERO = (
    *("WARMUP_SECONDS", "ENTRY_BAR_SECONDS", "ENTRY_COOLDOWN_SECONDS", "MIN_QUOTE_SIZE", "MIN_PREMIUM"),
    *("MIN_OPEN_INTEREST", "STOP_ROOM_SPREADS", "PUSH_CAP_COUNT"),
)
"""Protections that a 0 turns off."""


def check_oddities(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """Warns of settings that are legal but probably not meant."""
    found = [Check("Settings", Severity.WARNING, text, do) for when, text, do in ODD if when(settings)]
    for name in OFF_AT_ZERO:
        if not getattr(settings, name.lower()):
            found.append(Check("Settings", Severity.WARNING, f"{name} is 0: this protection is off"))
    opening = FULL_DAY_CLOSE_S - settings.before_close("09:30")
    if opening + settings.warmup_seconds >= seconds_of_day(settings.no_entry_after):
        text = "WARMUP_SECONDS lasts until NO_ENTRY_AFTER: there can be no entry at all"
        found.append(Check("Settings", Severity.WARNING, text, "shorten it"))
    found += doubted("Settings", config.doubts(environment))
    return found


def doubted(group: str, doubts: Sequence[str]) -> list[Check]:
    """Returns a warning for each doubt. The text after its first colon says what to do."""
    parted = (doubt.partition(": ") for doubt in doubts)
    return [Check(group, Severity.WARNING, text, do) for text, _, do in parted]
