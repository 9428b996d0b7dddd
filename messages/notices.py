"""The pushes about a state of the program, not a decision: record off, watching again, armed, evening. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from events import SECOND, AlertKind, Session
from messages.alert import HALF_CENT, Alert, Priority, give_up_at, system_alert
from rules import Rules
from utils import clock_text, day_text, minute_text, option_price, span_text

REASON_MAX = 200
"""How many characters of a reason in the system's words are shown."""


# In every function, ``position`` is the id of the open position, or None, and times are µs of UTC.


def record_off(now: int, rules: Rules, *, since: int, reason: str, position: str | None = None) -> Alert:
    """Returns the push that the session's record cannot be written since ``since``, for ``reason`` (words, no path)."""
    lines = (
        f"The session's record has not been written since {clock_text(since)} ET: {reason[:REASON_MAX]}.",
        "Now: no entries; the program tries again every minute. SELLs still come.",
        "You: check that the disk is mounted, writable and not full. A restart now would forget an open position.",
    )
    title = f"⚠️ {rules.symbol}: record off"
    return system_alert(AlertKind.RECORD_OFF, now, "record", title=title, lines=lines, position=position)


def record_on(now: int, rules: Rules, *, since: int, position: str | None = None) -> Alert:
    """Returns the push that the session's record is written again, after it was not since ``since``."""
    lines = (
        f"The session's record is being written again. It was interrupted for {span_text(now - since)}, "
        f"from {clock_text(since)} ET on.",
        "Now: entries are possible again.",
        "You: nothing to do.",
    )
    title = f"✅ {rules.symbol}: record on"
    return system_alert(AlertKind.RECORD_ON, now, "record", title=title, lines=lines, position=position)


def watching_again(
    now: int, rules: Rules, *, position: str, contract: str, since: int, time_stop: int, note: str = ""
) -> Alert:
    """Returns the push that a restart found ``position`` open, unwatched since ``since``. ``note`` adds a line."""
    lines = (
        f"Watching again #{position}: gap {span_text(now - since)}, peak in the gap unknown",
        f"Nobody has watched {contract} since {clock_text(since)} ET.",
        f"Now: all exits apply again, the time stop at {minute_text(time_stop)} ET.",
        *([note] if note else []),
        "You: look at it once. If it peaked during the gap, the givebacks do not know that peak.",
    )
    title = f"👀 {rules.symbol}: watching again #{position}"
    return system_alert(
        AlertKind.WATCHING_AGAIN,
        now,
        position,
        title=title,
        lines=lines,
        position=position,
        contract=contract,
        time_stop=time_stop,
    )


def unwatched(now: int, rules: Rules, *, position: str, contract: str, stop: int, time_stop: int) -> Alert:
    """Returns the push that the program stops and leaves ``position`` open. ``stop`` is its stop level (option price)."""
    by = minute_text(time_stop)
    lines = (
        f"Unwatched from now #{position}",
        f"The program stopped at {clock_text(now)} ET. {contract} is still open, and no SELL will come for it "
        "until the program runs again.",
        "Now: nobody watches it. The next start will, and says so.",
        f"You: close it yourself by {by} ET, or at {option_price(stop - stop % HALF_CENT)} (its stop).",
    )
    return system_alert(
        AlertKind.UNWATCHED,
        now,
        position,
        title=f"⚠️ {rules.symbol}: unwatched from now #{position}",
        lines=lines,
        position=position,
        contract=contract,
        time_stop=time_stop,
        give_up_at=give_up_at(now, time_stop, rules),
    )


def cap_reached(now: int, rules: Rules, *, entries: int, position: str | None = None) -> Alert:
    """Returns the push that the day's ``entries`` have reached `Rules.max_entries_per_day`."""
    lines = (
        f"{entries} entries today: MAX_ENTRIES_PER_DAY was reached at {clock_text(now)} ET.",
        "Now: no more entries today." + (" The open position is watched to its end." if position else ""),
        "You: nothing to do. The cap is a setting (0 = no cap).",
    )
    title = f"✋ {rules.symbol}: entry cap reached"
    return system_alert(AlertKind.CAP_REACHED, now, "entries", title=title, lines=lines, position=position)


def market_closed(now: int, rules: Rules, *, session: Session, position: str | None = None) -> Alert:
    """Returns the push that the vendor says closed during ``session``, which is in the calendar."""
    lines = (
        f"The vendor says that the exchange is closed, at {clock_text(now)} ET. The calendar has a session "
        f"from {minute_text(session.open)} to {minute_text(session.close)} ET.",
        "Now: no entries until it opens; the program keeps asking."
        + (" The open position is still watched." if position else ""),
        "You: check nyse.com for an unscheduled closure.",
    )
    title = f"⚠️ {rules.symbol}: market closed"
    return system_alert(
        AlertKind.MARKET_CLOSED, now, session.date, title=title, lines=lines, position=position
    )


def clock_doubt(
    now: int, rules: Rules, *, since: int, detail: str, session: Session, position: str | None = None
) -> Alert:
    """Returns the push that the time is doubted since ``since``.

    ``detail`` says which clock differs. ``session`` is the current or the next one.
    """
    what_follows = ""
    if position:
        what_follows = " The open position is still watched; its time stop follows this program's time."
    elif now < session.open:
        what_follows = f" By its clock the next session opens {day_text(session.open)} ET: it may connect too late or too early."
    lines = (
        f"Since {day_text(since)} ET by this program's time: {detail}.",
        f"Now: no entries until the clocks agree; they are compared every second.{what_follows}",
        "You: set this machine's clock (turn NTP on). The program then follows by itself.",
    )
    title = f"⚠️ {rules.symbol}: clock doubt"
    return system_alert(AlertKind.CLOCK_DOUBT, now, "clock", title=title, lines=lines, position=position)


def push_cap(now: int, rules: Rules, *, position: str | None = None) -> Alert:
    """Returns the push that `Rules.push_cap_count` pushes were accepted within `Rules.push_cap_seconds`."""
    count, span = rules.push_cap_count, span_text(rules.push_cap_seconds * SECOND)
    lines = (
        f"{count} pushes within {span}, at {clock_text(now)} ET: more than is plausible.",
        f"Now: no entries while there are so many within {span}. SELLs and other pushes still come."
        + (" The open position is watched to its end." if position else ""),
        "You: read the log: something is wrong. The cap is a setting (PUSH_CAP_COUNT).",
    )
    title = f"⚠️ {rules.symbol}: too many pushes"
    return system_alert(AlertKind.PUSH_CAP, now, "pushes", title=title, lines=lines, position=position)


def crash_loop(
    now: int, rules: Rules, *, starts: int, span_s: int, held_until: int, position: str | None = None
) -> Alert:
    """Returns the push that this is one of ``starts`` starts within ``span_s`` without an orderly end between them."""
    lines = (
        f"Started {starts} times within {span_text(span_s * SECOND)}, last at {clock_text(now)} ET: the program "
        "crashes or is killed again and again.",
        f"Now: no entries until it has run for {span_text(span_s * SECOND)}, until {minute_text(held_until)} ET."
        + (
            " The open position is watched and its SELL comes, except while the program is down."
            if position
            else ""
        ),
        "You: read the log before each start: a crash says why; nothing there means that it was killed, perhaps for "
        "its memory." + (" Watch the position yourself meanwhile." if position else ""),
    )
    title = f"⚠️ {rules.symbol}: crash loop"
    return system_alert(AlertKind.CRASH_LOOP, now, "starts", title=title, lines=lines, position=position)


def entries_blocked(now: int, rules: Rules, *, since: int, reason: str) -> Alert:
    """Returns the push that no entry has been possible since ``since`` for ``reason``, in words."""
    lines = (
        f"No entry is possible since {clock_text(since)} ET: {reason}.",
        "Now: bars are watched and the program keeps asking; no BUY can come.",
        "You: run python diagnose.py; it says whether it is the network, the plan or the vendor.",
    )
    title = f"⚠️ {rules.symbol}: no entries possible"
    return system_alert(AlertKind.ENTRIES_BLOCKED, now, "entries", title=title, lines=lines, position=None)


def entries_possible(now: int, rules: Rules) -> Alert:
    """Returns the push that entries are possible again."""
    lines = (f"Entries are possible again at {clock_text(now)} ET.", "You: nothing to do.")
    title = f"✅ {rules.symbol}: entries possible again"
    return system_alert(AlertKind.ENTRIES_POSSIBLE, now, "entries", title=title, lines=lines, position=None)


def armed(
    now: int,
    rules: Rules,
    *,
    version: str,
    session: Session,
    well: Sequence[str],
    lacking: Sequence[str],
) -> Alert:
    """Returns the push that the program watches ``session``.

    ``well`` is what an entry needs and has, ``lacking`` what it needs and lacks.
    """
    early = ", early close" if session.early else ""
    cutoff = session.close - rules.before_close(rules.no_entry_after) * SECOND
    lines = [
        f"Watching {rules.symbol} at {clock_text(now)} ET, session {session.date} "
        f"{minute_text(session.open)}–{minute_text(session.close)} ET{early}.",
        f"OK: {'; '.join(well)}." if well else "",
        f"Not OK: {'; '.join(lacking)}. No entries until it is." if lacking else "",
        f"No more BUYs in this session: it is past {minute_text(cutoff)} ET." if now >= cutoff else "",
        f"Version {version}, rules {rules.digest()}.",
        "You: run python diagnose.py; it says what to do."
        if lacking
        else "You: nothing to do. If this push is missing on a trading day, the program is not running.",
    ]
    title = f"⚠️ {rules.symbol}: armed, not all well" if lacking else f"✅ {rules.symbol}: armed"
    return system_alert(
        AlertKind.ARMED,
        now,
        session.date,
        title=title,
        lines=filter(None, lines),
        position=None,
        priority=Priority.QUIET,
    )


def picture(
    now: int, rules: Rules, *, cause: str, title: str, lines: Iterable[str], position: str | None = None
) -> Alert:
    """What a picture comes with: of the trade of ``position``, or of a day. ``cause`` is the position's id or the date."""
    return system_alert(
        AlertKind.PICTURE,
        now,
        cause,
        title=f"🖼️ {rules.symbol}: {title}",
        lines=lines,
        position=position,
        priority=Priority.QUIET,
    )


def evening(now: int, rules: Rules, *, date: str, summary: Iterable[str]) -> Alert:
    """Returns the push with the day's ``summary``. Lines that do not fit are only counted; the log has them."""
    title = f"🌙 {rules.symbol}: {date}"
    return system_alert(
        AlertKind.EVENING, now, date, title=title, lines=summary, position=None, priority=Priority.QUIET
    )
