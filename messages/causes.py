"""The texts of pushes about each cause of a blind feed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from events import AlertKind, FeedCause

# What happened, what the program does now, and what the owner can do, for each cause of blindness.
CAUSE_TEXTS: Mapping[FeedCause, tuple[str, str, str]] = {
    FeedCause.NOT_CONNECTED: (
        "The feed could not be connected",
        "connecting again without end",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.DROPPED: (
        "The feed's connection was lost and is not back",
        "connecting again without end",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.STALL: (
        "The feed has stalled: connected, but nothing comes (confirmed)",
        "closing the connection and opening a new one",
        "if it lasts, check the vendor's status page and the log",
    ),
    FeedCause.SILENCE: (
        "No bars come, and nothing explains it (a trading halt looks like this)",
        "reconnecting once, then waiting for a bar",
        "see whether trading is halted",
    ),
    FeedCause.UNSEEN: (
        "A symbol does not trade or is not sent, while the other comes",
        "asking the vendor's REST every 5 s, and reconnecting if that has newer seconds",
        "see whether trading in it is halted",
    ),
    FeedCause.LAG: (
        "Bars come too late to act on",
        "waiting for bars in time, with a new connection after a minute",
        "if it lasts, see that your plan is real-time, not delayed",
    ),
    FeedCause.OVERFLOW: (
        "More came in than could be handled (inbox overflow)",
        "reconnecting and filling the gap",
        "if it comes again, the machine is too slow: see the log",
    ),
    FeedCause.EVICTED: (
        "The vendor gave our connection to another copy: probably a second one is running with the same account "
        "(a laptop, a second Render service)",
        "trying again after 60, 120, then every 300 s",
        "stop the other copy. A second key does not help: the limit is the account's",
    ),
    FeedCause.REFUSED: (
        "The vendor refuses the key or the plan",
        "trying again every 5 minutes",
        "check the key, and that the plan includes real-time stocks",
    ),
}


# What happened if it concerns only one symbol. The other two texts are the cause's.
SYMBOL_TEXTS: Mapping[FeedCause, str] = {
    FeedCause.STALL: "{symbol} has stalled: {other} comes, but {symbol} does not, and the vendor's REST has newer "
    "seconds of it",
    FeedCause.UNSEEN: "{symbol} does not trade or is not sent, while {other} comes",
    FeedCause.LAG: "Bars of {symbol} come too late to act on, while {other} is in time",
}

ALARM_TITLES = {
    AlertKind.EVICTED: "⚠️ {symbol}: feed taken by another copy",
    AlertKind.REFUSED: "⚠️ {symbol}: feed refused by the vendor",
    AlertKind.FEED_BLIND: "⚠️ {symbol}: feed blind",
}

BENCHMARK_TITLE = "⚠️ {symbol}: benchmark missing"

STILL_WATCHED = (
    "The position is watched by its own quotes: stop loss, hard giveback and time stop stand; "
    "the exits that need bars pause."
)
