"""`Rules`: every number that decides. Knows no key, no address and no file."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

FULL_DAY_CLOSE_S = 16 * 3600
"""The close that `NO_ENTRY_AFTER` and `HARD_TIME_STOP` are written for, in seconds of the New York day."""

_WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""Numbers in ASCII. Python's int() and float() also accept underscores and the digits of every script."""


def seconds_of_day(text: str) -> int:
    """Returns the seconds after midnight of ``HH:MM`` or ``HH:MM:SS``. Raises ValueError for anything else."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(
        len(part) == 2 and part.isascii() and part.isdigit() for part in parts
    ):
        raise ValueError("takes a New York time as HH:MM or HH:MM:SS")
    hours, minutes, seconds = (*map(int, parts), 0)[:3]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("takes a New York time as HH:MM or HH:MM:SS")
    return hours * 3600 + minutes * 60 + seconds


def _session_time(text: str) -> str:
    if not 9 * 3600 + 30 * 60 < seconds_of_day(text) <= FULL_DAY_CLOSE_S:
        raise ValueError("takes a New York time after 09:30 and not after 16:00")
    return text


def _ticker(text: str) -> str:
    text = text.strip()
    # Checked before upper() turns "ß" into "SS".
    if not (text.isascii() and text.replace(".", "").isalnum()) or len(text) > 10:
        raise ValueError("takes a ticker such as IWM")
    return text.upper()


SessionTime = Annotated[str, AfterValidator(_session_time)]
Ticker = Annotated[str, AfterValidator(_ticker)]


def rule(default: Any, unit: str, description: str, **bounds: Any) -> Any:
    """Returns a field of `Rules` with its unit and bounds. A test checks the documentation against them."""
    return Field(default=default, description=description, json_schema_extra={"unit": unit}, **bounds)


class Rules(BaseModel):
    """Every number that decides. Two runs with equal rules and equal facts make equal decisions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # What is watched
    symbol: Ticker = rule("IWM", "ticker", "The fund to watch; the program suggests its 0DTE calls")
    benchmark: str = rule(
        "SPY", "ticker or empty", "The fund that `spy_lag` compares with; empty turns that condition off"
    )

    # The feed
    stall_seconds: int = rule(
        5, "s", "Silence of all symbols after which the feed counts as blind", ge=1, le=60
    )
    silence_alarm_seconds: int = rule(
        30, "s", "Unexplained silence after which the feed counts as stalled", ge=5, le=600
    )
    socket_alarm_seconds: int = rule(
        10, "s", "How long the connection may be down before a push says so", ge=1, le=600
    )
    max_lag_seconds: float = rule(
        15.0, "s", "Median delay of bars above which the feed counts as blind (a delayed plan)", gt=0, le=600
    )
    lag_bars: int = rule(30, "bars", "Number of live bars in that median", ge=1, le=1000)
    lag_reopen_seconds: int = rule(
        60, "s", "How long bars may be late before the program reconnects, once", ge=1, le=3600
    )
    symbol_silence_seconds: int = rule(
        20,
        "s",
        "Silence of one symbol, while the other's bars arrive, after which the program asks REST",
        ge=1,
        le=600,
    )
    symbol_unseen_seconds: int = rule(
        60,
        "s",
        'Silence of one symbol, with nothing newer on REST, after which it counts as "not seen"',
        ge=1,
        le=3600,
    )
    alarm_spacing_seconds: int = rule(
        300,
        "s",
        "While no position is open, at most one blind/recovered pair of pushes in this time",
        ge=0,
        le=3600,
    )

    # What is plausible
    price_jump_percent: float = rule(
        3.0,
        "%",
        "A close further than this from its recent median must be confirmed before it is used",
        gt=0,
        le=100,
    )
    price_jump_closes: int = rule(10, "closes", "Number of recent closes in that median", ge=1, le=1000)
    quote_frozen_seconds: int = rule(
        15,
        "s",
        "If the newest quote in a chain is older than this, the chain prices nothing; the same goes for the held call's own quote",
        ge=1,
        le=600,
    )
    delta_doubt: float = rule(
        0.15,
        "delta",
        "If the vendor's delta differs by more than this from the delta implied by the option's price, the implied one is used",
        gt=0,
        le=1,
    )

    # Entry conditions
    vwap_long_seconds: int = rule(300, "s", "Window of the long (primary) VWAP", ge=30, le=23_400)
    vwap_long_shift_seconds: int = rule(
        30, "s", "The long VWAP must be above its own value this long ago", ge=1, le=3600
    )
    vwap_short_seconds: int = rule(60, "s", "Window of the short VWAP", ge=5, le=23_400)
    vwap_rising_seconds: int = rule(
        30, "s", "How long the short VWAP must have gone without falling", ge=0, le=3600
    )
    volume_window_seconds: int = rule(
        1200,
        "s",
        "Window of the volume percentile and of Z; also the base of the relative volume",
        ge=60,
        le=23_400,
    )
    volume_min_bars: int = rule(300, "bars", "Fewest bars that window may hold", ge=1, le=23_400)
    volume_percentile: float = rule(
        95.0, "percentile", "Percentile that a surge in volume must exceed", gt=0, lt=100
    )
    momentum_seconds: int = rule(30, "s", "Window of the momentum's slope", ge=5, le=3600)
    momentum_min_bars: int = rule(10, "bars", "Fewest bars that window may hold", ge=2, le=3600)
    relative_volume_seconds: int = rule(60, "s", "Window of the relative volume", ge=5, le=3600)
    relative_volume_min: float = rule(
        1.5, "ratio", "Lowest relative volume; 0 turns the condition off", ge=0, le=100
    )
    roc_seconds: int = rule(300, "s", "Period of the rates of change", ge=10, le=7200)
    roc_tolerance_seconds: int = rule(
        30, "s", "How much older the base of a rate of change may be", ge=0, le=600
    )
    spy_iwm_lag_threshold: float = rule(
        0.20, "percentage points", "How far the benchmark's change may exceed the symbol's", ge=-10, le=10
    )
    benchmark_max_age_seconds: int = rule(10, "s", "Oldest benchmark close that may be used", ge=1, le=600)

    # Gates
    warmup_seconds: int = rule(600, "s", "No entry for this long after the open; 0 = off", ge=0, le=23_400)
    entry_bar_seconds: float = rule(
        5.0, "s", "No entry on a bar that arrives later than this after its end; 0 = off", ge=0, le=60
    )
    entry_cooldown_seconds: int = rule(
        300, "s", "No entry for this long after a SELL; 0 = off", ge=0, le=23_400
    )
    withdrawn_rest_seconds: int = rule(30, "s", "No entry for this long after a withdrawn BUY", ge=0, le=3600)
    max_entries_per_day: int = rule(0, "entries", "Most entries in one session; 0 = no cap", ge=0, le=1000)
    no_entry_after: SessionTime = rule(
        "15:30", "HH:MM[:SS] New York", "No entry from this time on; moves with an early close"
    )

    # The contract
    chain_poll_seconds: float = rule(5.0, "s", "How often the option chain is polled", ge=1, le=60)
    chain_fallback_poll_seconds: float = rule(
        2.0, "s", "How often it is polled while the quote stream is silent", ge=1, le=60
    )
    chain_spot_percent: float = rule(
        4.0, "% of spot", "How far from the fund's price strikes are kept", gt=0, le=50
    )
    chain_skew_seconds: int = rule(
        60, "s", "Chain age above which IV skew no longer counts in the ranking", ge=1, le=3600
    )
    chain_max_seconds: int = rule(300, "s", "Chain age above which there is no entry", ge=1, le=3600)
    stream_contracts: int = rule(
        10, "contracts", "Number of calls nearest the money whose quotes are streamed", ge=1, le=900
    )
    stream_silence_seconds: int = rule(
        10, "s", "Silence of the quote stream after which the chain is polled instead", ge=1, le=600
    )
    entry_quote_seconds: float = rule(3.0, "s", "Oldest quote that may price an entry", gt=0, le=60)
    delta_min: float = rule(0.30, "delta", "Lowest delta of a candidate", gt=0, lt=1)
    delta_max: float = rule(0.45, "delta", "Highest delta of a candidate", gt=0, lt=1)
    delta_stretch_down: float = rule(
        0.10, "delta", "How far below the range a delta may lie if no candidate is inside it", ge=0, lt=1
    )
    delta_stretch_up: float = rule(
        0.20, "delta", "How far above the range a delta may lie if no candidate is inside it", ge=0, lt=1
    )
    max_spread_percent: float = rule(5.0, "% of mid", "Widest spread of a candidate", gt=0, le=100)
    min_quote_size: int = rule(
        5, "contracts", "Fewest contracts quoted on each side; 0 = off", ge=0, le=10_000
    )
    min_premium: float = rule(0.20, "$", "Lowest mid of a candidate; 0 = off", ge=0, le=1000)
    min_open_interest: int = rule(
        100, "contracts", "Lowest open interest of a candidate; 0 = off", ge=0, le=1_000_000
    )
    stop_room_spreads: float = rule(
        2.0, "spreads", "Least room between the mid and the stop; 0 = off", ge=0, le=100
    )
    entry_slippage: float = rule(0.05, "$", "Added to the mid to get the entry price", ge=0, le=10)
    pay_limit_percent: float = rule(5.0, "% of entry", "How far above the entry you may pay", ge=0, le=100)
    pay_limit_min: float = rule(
        0.01, "$", "How far above the entry you may pay at least, however cheap the call", ge=0, le=10
    )
    pay_limit_seconds: int = rule(30, "s", "How long a BUY is valid", ge=1, le=600)

    # The position
    hard_time_stop: SessionTime = rule(
        "15:55", "HH:MM[:SS] New York", "Every position gets its SELL by this time; moves with an early close"
    )
    stop_loss_percent: float = rule(15.0, "% of entry", "Loss at which to sell", gt=0, lt=100)
    max_giveback_percent: float = rule(30.0, "% of peak", "Drop from the peak at which to sell", gt=0, lt=100)
    tighten_giveback_percent: float = rule(
        20.0,
        "% of peak",
        "Drop from the peak at which to sell while the fund is below its short VWAP",
        gt=0,
        lt=100,
    )
    persistence_block_seconds: int = rule(
        30, "s", "Two such blocks in a row below the short VWAP sell", ge=5, le=1800
    )
    persistence_min_evaluations: int = rule(
        10, "evaluations", "Fewest evaluations in each block", ge=1, le=1800
    )
    mark_hold_seconds: float = rule(
        2.0, "s", "How long a mark must hold before it can sell or raise the peak", ge=0, le=60
    )
    wide_quote_percent: float = rule(25.0, "% of mid", "A quote wider than this is doubted", gt=0, le=200)
    wide_quote_min: float = rule(0.03, "$", "A quote no wider than this is never doubted", ge=0, le=10)
    wide_quote_seconds: float = rule(
        5.0, "s", "How long a quote must stay wide before it counts after all", ge=0, le=600
    )
    quote_confirm_seconds: int = rule(
        15,
        "s",
        "If the held call's quote has not changed for this long, the program confirms it by REST",
        ge=1,
        le=600,
    )
    mark_lost_seconds: int = rule(
        20, "s", "How long the held call may have no usable price before a push says so", ge=2, le=600
    )

    # What holds entries from outside
    clock_doubt_seconds: float = rule(
        2.0,
        "s",
        "Difference from the vendor's clock above which entries are held; also how far in the future a fact may lie",
        gt=0,
        le=600,
    )
    loop_lag_seconds: float = rule(
        2.0, "s", "Delay of the program's event loop above which entries are held", gt=0, le=60
    )
    push_cap_count: int = rule(
        12,
        "pushes",
        "Number of pushes within the cap's period at which entries are held; 0 = off",
        ge=0,
        le=1000,
    )
    push_cap_seconds: int = rule(600, "s", "Period of the push cap", ge=1, le=86_400)

    @field_validator("*", mode="before")
    @classmethod
    def _digits(cls, value: object, info: ValidationInfo) -> object:
        """Raises ValueError for a number in a text that is not written in ASCII digits."""
        form = {int: _WHOLE, float: _NUMBER}.get(cls.model_fields[str(info.field_name)].annotation)  # type: ignore[arg-type]
        if form is not None and isinstance(value, str) and not form.fullmatch(value.strip()):
            raise ValueError("a number is written with ASCII digits")
        return value

    @field_validator("benchmark")
    @classmethod
    def _benchmark(cls, value: str) -> str:
        return _ticker(value) if value.strip() else ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [
            f"{self._named(lower)} must not exceed {self._named(upper)}: set both"
            for lower, upper in (
                ("delta_min", "delta_max"),
                ("tighten_giveback_percent", "max_giveback_percent"),
                ("chain_skew_seconds", "chain_max_seconds"),
                ("stall_seconds", "silence_alarm_seconds"),
                ("symbol_silence_seconds", "symbol_unseen_seconds"),
                ("volume_min_bars", "volume_window_seconds"),
                ("momentum_min_bars", "momentum_seconds"),
                ("relative_volume_seconds", "volume_window_seconds"),
            )
            if getattr(self, lower) > getattr(self, upper)
        ]
        if seconds_of_day(self.no_entry_after) > seconds_of_day(self.hard_time_stop):
            pair = self._named("no_entry_after"), self._named("hard_time_stop")
            faults.append(f"{pair[0]} must not be later than {pair[1]}: set both")
        if self.symbol == self.benchmark:
            pair = self._named("benchmark"), self._named("symbol")
            faults.append(
                f"{pair[0]} must differ from {pair[1]}: set both (an empty BENCHMARK leaves it out)"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _named(self, name: str) -> str:
        """Returns a setting with its value, such as ``DELTA_MIN (0.3)``."""
        value = getattr(self, name)
        return f"{name.upper()} ({value:g})" if isinstance(value, float) else f"{name.upper()} ({value})"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Returns the symbols whose bars are watched, the traded one first."""
        return (self.symbol, self.benchmark) if self.benchmark else (self.symbol,)

    def before_close(self, time_of_day: str) -> int:
        """Returns how many seconds before the close a time of day (``HH:MM[:SS]``, for a 16:00 close) lies."""
        return FULL_DAY_CLOSE_S - seconds_of_day(time_of_day)

    def digest(self) -> str:
        """Returns the rules' fingerprint: the first 8 hex digits of the SHA-256 of the rules as sorted compact JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]
