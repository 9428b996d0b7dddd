"""The texts of pushes about each cause of a blind feed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from events import AlertKind, FeedCause

# What happened, what the program does now, and what the owner can do, for each cause of blindness.
CAUSE_TEXTS: Mapping[FeedCause, tuple[str, str, str]] = {
    FeedCause.NOT_CONNECTED: (
        "The feed could not connect",
        "reconnecting until it succeeds",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.DROPPED: (
        "The connection to the feed was lost and is still down",
        "reconnecting until it succeeds",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.STALL: (
        "The feed has stalled: connected, but no data arrives (confirmed)",
        "closing the connection and opening a new one",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.SILENCE: (
        "No bars arrive, and nothing explains why (a trading halt looks like this)",
        "reconnecting once, then waiting for a bar",
        "check whether trading is halted",
    ),
    FeedCause.UNSEEN: (
        "One symbol does not trade or is not being sent, while the other is",
        "asking the vendor's REST API every 5 s, and reconnecting if it has newer data",
        "check whether trading in it is halted",
    ),
    FeedCause.LAG: (
        "Bars arrive too late to act on",
        "waiting for bars to arrive in time; reconnecting after a minute",
        "if it lasts, check that your plan is real-time, not delayed",
    ),
    FeedCause.OVERFLOW: (
        "More data arrived than the program could handle (inbox overflow)",
        "reconnecting and filling the gap",
        "if it happens again, the machine is too slow: see the log",
    ),
    FeedCause.EVICTED: (
        "Another copy took our connection: a second one is probably running on the same account "
        "(a laptop, a second Render service)",
        "trying again after 60, 120, then every 300 s",
        "stop the other copy. A second key does not help: the limit is per account",
    ),
    FeedCause.REFUSED: (
        "The vendor refuses the key or the plan",
        "trying again every 5 minutes",
        "check the key, and that the plan includes real-time stocks",
    ),
}


# What happened if it concerns only one symbol. The other two texts are the cause's.
SYMBOL_TEXTS: Mapping[FeedCause, str] = {
    FeedCause.STALL: "{symbol} has stalled: bars of {other} arrive, bars of {symbol} do not, and the vendor's REST API "
    "has newer ones",
    FeedCause.UNSEEN: "{symbol} does not trade or is not being sent, while {other} is",
    FeedCause.LAG: "Bars of {symbol} arrive too late to act on, while those of {other} are on time",
}

ALARM_TITLES = {
    AlertKind.EVICTED: "⚠️ {symbol}: feed taken by another copy",
    AlertKind.REFUSED: "⚠️ {symbol}: feed refused by the vendor",
    AlertKind.FEED_BLIND: "⚠️ {symbol}: feed blind",
}

BENCHMARK_TITLE = "⚠️ {symbol}: benchmark missing"

STILL_WATCHED = (
    "The position is still watched by its own quotes: stop loss, hard giveback and time stop apply; "
    "the exits that need bars are paused."
)
