"""What the page says of a second that is pointed at: words with columns of `review.page.levels` and positions in them.

They are written as Bokeh's tooltips are, ``@column{format}``, and Bokeh fills them in.
"""

from __future__ import annotations

from html import escape

from events import Condition
from rules import Rules
from wording import CONDITIONS, condition_name, short_name

CELLS = {
    Condition.FIVE_MINUTE_VWAP: ("$@price{0.00}, @vwap_5m_change{+0.0000}%", "over $@vwap_5m{0.00}, rising"),
    Condition.ABOVE_VWAP: ("$@price{0.00}", "over $@vwap_1m{0.00}"),
    Condition.VWAP_RISING: ("@vwap_rising_s{0} s", "≥ LIMIT s"),
    Condition.VOLUME_SURGE: ("@volume{0,0}", "over @volume_p95{0,0}"),
    Condition.MOMENTUM: ("@momentum{+0.00000}", "over 0 %/s"),
    Condition.RELATIVE_VOLUME: ("@relative_volume{0.00}", "≥ LIMIT"),
    Condition.SPY_LAG: ("@lag{+0.00}", "≤ LIMIT"),
}
"""What a condition's cell shows: the value, and what it needs. LIMIT is the rules'."""


def second_words(rules: Rules) -> str:
    """What is said of a second of the session, as HTML."""
    return (
        f'<div class="line">@x{{%H:%M:%S}} {escape(rules.symbol)} $@price{{0.00}} · VWAP $@vwap_1m{{0.00}}, '
        "5 min $@vwap_5m{0.00}, session $@day{0.00} · volume @volume{0,0}</div>"
        f'<div class="cells">{"".join(_cell(rules, condition) for condition in Condition)}'
        '<div class="gate @gate" title="Gate"><span>Gate</span><span>@gate</span></div></div>'
    )


def _cell(rules: Rules, condition: Condition) -> str:
    value, needed = CELLS[condition]
    name = condition_name(condition, rules.benchmark)
    return (
        f'<div class="state@is_{condition}" title="{escape(name)}, {condition}">'
        f"<span>{escape(short_name(condition, rules.benchmark))}</span><span>{value}</span>"
        f"<span>{needed.replace('LIMIT', CONDITIONS[condition].limit(rules))}</span></div>"
    )


def position_words() -> str:
    """What is said of a position's option at a time, as HTML."""
    return (
        "@x{%H:%M:%S} mark $@mark{0.00[00]} (@change{+0.0}%) · peak $@peak{0.00[00]} · stop $@stop{0.00[00]} · "
        "giveback $@hard{0.00[00]}, below VWAP $@tight{0.00[00]}"
    )
