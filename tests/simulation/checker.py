"""Judges a story by what the owner was promised. Knows what the surroundings saw, and nothing of the worker's code.

The one exception is I6, which asks the program's own proof, `review verify`.
"""

from __future__ import annotations

from tests.simulation.books import Books
from tests.simulation.invariants import delivery, durable, limits, market, positions, silence
from tests.simulation.invariants.violation import Judge, Violation
from tests.simulation.story import Story

JUDGES: tuple[Judge, ...] = (
    durable.durable_before_audible,
    positions.no_orphan,
    positions.one_at_a_time,
    positions.texts_agree,
    delivery.sells_arrive,
    delivery.buys_are_fresh,
    delivery.duplicates_are_marked,
    delivery.late_is_said,
    delivery.outcomes_are_known,
    market.fresh_when_bought,
    market.sold_on_true_quotes,
    market.values_are_right,
    market.bars_are_the_markets,
    market.nothing_is_lost,
    limits.derived_again,
    positions.one_voice,
    limits.connections_are_few,
    limits.refusals_are_waited_out,
    limits.attempts_are_apart,
    limits.pushes_are_capped,
    limits.files_are_bounded,
    limits.no_secret,
    silence.silence_is_loud,
    silence.comes_back,
    market.in_hours,
)

MOST_EACH = 5
"""So many violations of one kind are enough to look into."""


def check(story: Story) -> list[Violation]:
    """Returns what should not have happened, in the order of time. Empty: every promise was kept."""
    books = Books(story)
    found: list[Violation] = []
    for judge in JUDGES:
        for number, violation in enumerate(judge(books)):
            if number == MOST_EACH:
                break
            found.append(violation)
    return sorted(found, key=lambda each: each.at)
