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
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
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
    symbol: Ticker = rule("IWM", "ticker", "The fund that is watched and whose 0DTE calls are suggested")
    benchmark: str = rule("SPY", "ticker or empty", "The fund `spy_lag` compares with; empty leaves it out")

    # The feed
    stall_seconds: int = rule(5, "s", "Silence over all symbols that makes the feed blind", ge=1, le=60)
    silence_alarm_seconds: int = rule(
        30, "s", "Unexplained silence that counts as a confirmed stall", ge=5, le=600
    )
    socket_alarm_seconds: int = rule(
        10, "s", "How long a lost socket may be down before the phone is told", ge=1, le=600
    )
    max_lag_seconds: float = rule(
        15.0, "s", "Median lag of bars beyond which the feed is blind (a delayed plan)", gt=0, le=600
    )
    lag_bars: int = rule(30, "bars", "How many live bars that median is taken over", ge=1, le=1000)
    lag_reopen_seconds: int = rule(
        60, "s", "How long bars may be late before the socket is reopened, once", ge=1, le=3600
    )
    symbol_silence_seconds: int = rule(
        20, "s", "Silence of one symbol, while the other's bars come, after which REST is asked", ge=1, le=600
    )
    symbol_unseen_seconds: int = rule(
        60,
        "s",
        'Silence of one symbol, without newer seconds at REST, that counts as "not seen"',
        ge=1,
        le=3600,
    )
    alarm_spacing_seconds: int = rule(
        300, "s", "At most one blind/recovered pair of pushes in this time while flat", ge=0, le=3600
    )

    # What is plausible
    price_jump_percent: float = rule(
        3.0, "%", "A close further than this from its recent median waits to be confirmed", gt=0, le=100
    )
    price_jump_closes: int = rule(
        10, "closes", "How many of the last closes that median is taken over", ge=1, le=1000
    )
    quote_frozen_seconds: int = rule(
        15,
        "s",
        "A chain whose newest quote is older than this by its own stamp gives no prices; nor does such a quote of the held call",
        ge=1,
        le=600,
    )
    delta_doubt: float = rule(
        0.15,
        "delta",
        "A vendor's delta further than this from the one that the option's price implies is replaced by that one",
        gt=0,
        le=1,
    )

    # Entry conditions
    vwap_long_seconds: int = rule(300, "s", "Window of the primary VWAP", ge=30, le=23_400)
    vwap_long_shift_seconds: int = rule(
        30, "s", "The primary VWAP must be above itself this long ago", ge=1, le=3600
    )
    vwap_short_seconds: int = rule(60, "s", "Window of the short VWAP", ge=5, le=23_400)
    vwap_rising_seconds: int = rule(30, "s", "How long the short VWAP must not have fallen", ge=0, le=3600)
    volume_window_seconds: int = rule(
        1200, "s", "Window of the volume percentile, of z, and base of the relative volume", ge=60, le=23_400
    )
    volume_min_bars: int = rule(300, "bars", "Bars that window must hold", ge=1, le=23_400)
    volume_percentile: float = rule(95.0, "percentile", "Percentile that a surge must exceed", gt=0, lt=100)
    momentum_seconds: int = rule(30, "s", "Window of the momentum's slope", ge=5, le=3600)
    momentum_min_bars: int = rule(10, "bars", "Bars that window must hold", ge=2, le=3600)
    relative_volume_seconds: int = rule(60, "s", "Window of the relative volume", ge=5, le=3600)
    relative_volume_min: float = rule(
        1.5, "ratio", "Least relative volume; 0 leaves the condition out", ge=0, le=100
    )
    roc_seconds: int = rule(300, "s", "Span of the rates of change", ge=10, le=7200)
    roc_tolerance_seconds: int = rule(
        30, "s", "How much older the base of a rate of change may be", ge=0, le=600
    )
    spy_iwm_lag_threshold: float = rule(
        0.20, "percentage points", "How far the benchmark's change may exceed the symbol's", ge=-10, le=10
    )
    benchmark_max_age_seconds: int = rule(
        10, "s", "A last close of the benchmark older than this is not used", ge=1, le=600
    )

    # Gates
    warmup_seconds: int = rule(600, "s", "No entry this long after the open; 0 = off", ge=0, le=23_400)
    entry_bar_seconds: float = rule(
        5.0, "s", "A bar later than this past its end gives no entry; 0 = off", ge=0, le=60
    )
    entry_cooldown_seconds: int = rule(300, "s", "Rest after a close; 0 = off", ge=0, le=23_400)
    withdrawn_rest_seconds: int = rule(30, "s", "Rest after a withdrawn BUY", ge=0, le=3600)
    max_entries_per_day: int = rule(0, "entries", "Entries in a session; 0 = no cap", ge=0, le=1000)
    no_entry_after: SessionTime = rule(
        "15:30", "HH:MM[:SS] New York", "No entry from then on; moves with an early close"
    )

    # The contract
    chain_poll_seconds: float = rule(5.0, "s", "How often the chain is polled", ge=1, le=60)
    chain_fallback_poll_seconds: float = rule(
        2.0, "s", "How often it is polled while the quote stream gives nothing", ge=1, le=60
    )
    chain_spot_percent: float = rule(4.0, "% of spot", "Strikes kept around spot", gt=0, le=50)
    chain_skew_seconds: int = rule(
        60, "s", "Chain age over which IV skew is left out of the ranking", ge=1, le=3600
    )
    chain_max_seconds: int = rule(300, "s", "Chain age over which there is no entry", ge=1, le=3600)
    stream_contracts: int = rule(
        10, "contracts", "Calls nearest the money whose quotes are streamed", ge=1, le=900
    )
    stream_silence_seconds: int = rule(
        10, "s", "Silence of the quote stream after which the chain is polled instead", ge=1, le=600
    )
    entry_quote_seconds: float = rule(3.0, "s", "Oldest quote that an entry may be priced from", gt=0, le=60)
    delta_min: float = rule(0.30, "delta", "Least delta of a candidate", gt=0, lt=1)
    delta_max: float = rule(0.45, "delta", "Greatest delta of a candidate", gt=0, lt=1)
    delta_stretch_down: float = rule(
        0.10, "delta", "How far below the range an empty range is stretched", ge=0, lt=1
    )
    delta_stretch_up: float = rule(
        0.20, "delta", "How far above the range an empty range is stretched", ge=0, lt=1
    )
    max_spread_percent: float = rule(5.0, "% of mid", "Widest spread of a candidate", gt=0, le=100)
    min_quote_size: int = rule(5, "contracts", "Least size on both sides; 0 = off", ge=0, le=10_000)
    min_premium: float = rule(0.20, "$", "Least mid of a candidate; 0 = off", ge=0, le=1000)
    min_open_interest: int = rule(100, "contracts", "Least open interest; 0 = off", ge=0, le=1_000_000)
    stop_room_spreads: float = rule(
        2.0, "spreads", "Least room between mid and stop level; 0 = off", ge=0, le=100
    )
    entry_slippage: float = rule(0.05, "$", "Added to the mid for the entry price", ge=0, le=10)
    pay_limit_percent: float = rule(5.0, "% of entry", "What may be paid above the entry", ge=0, le=100)
    pay_limit_min: float = rule(0.01, "$", "What may at least be paid above the entry", ge=0, le=10)
    pay_limit_seconds: int = rule(30, "s", "How long a BUY is good for", ge=1, le=600)

    # The position
    hard_time_stop: SessionTime = rule(
        "15:55", "HH:MM[:SS] New York", "Every position is sold by then; moves with an early close"
    )
    stop_loss_percent: float = rule(15.0, "% of entry", "Loss that sells", gt=0, lt=100)
    max_giveback_percent: float = rule(30.0, "% of peak", "Giveback that sells", gt=0, lt=100)
    tighten_giveback_percent: float = rule(
        20.0, "% of peak", "Giveback that sells while the price is below its short VWAP", gt=0, lt=100
    )
    persistence_block_seconds: int = rule(30, "s", "Two such blocks below the short VWAP sell", ge=5, le=1800)
    persistence_min_evaluations: int = rule(
        10, "evaluations", "Evaluations each block must hold", ge=1, le=1800
    )
    mark_hold_seconds: float = rule(
        2.0, "s", "How long a mark must hold to sell or to raise the peak", ge=0, le=60
    )
    wide_quote_percent: float = rule(25.0, "% of mid", "A quote wider than this is doubted", gt=0, le=200)
    wide_quote_min: float = rule(0.03, "$", "A quote not wider than this is never doubted", ge=0, le=10)
    wide_quote_seconds: float = rule(5.0, "s", "Unbroken width after which a wide quote counts", ge=0, le=600)
    quote_confirm_seconds: int = rule(
        15, "s", "An unchanged quote of the held contract is confirmed after this", ge=1, le=600
    )
    mark_lost_seconds: int = rule(20, "s", "No usable mark for this long is told", ge=2, le=600)

    # What holds entries from outside
    clock_doubt_seconds: float = rule(
        2.0,
        "s",
        "Difference from the vendor's clock above which entries are held, and how far ahead of now a fact may lie",
        gt=0,
        le=600,
    )
    loop_lag_seconds: float = rule(2.0, "s", "Delay of the event loop that holds entries", gt=0, le=60)
    push_cap_count: int = rule(
        12, "pushes", "Pushes within the cap's span that hold entries; 0 = off", ge=0, le=1000
    )
    push_cap_seconds: int = rule(600, "s", "Span of the push cap", ge=1, le=86_400)

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
