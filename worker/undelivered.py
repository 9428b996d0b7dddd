"""The alerts that have no outcome in a record. A restart delivers them."""

from __future__ import annotations

import alerts
from events import AlertKind, AlertOutcome, Closed, Opened, Withdrawn
from messages.alert import Alert
from record.lines import Entry
from rules import Rules


class Undelivered:
    """The BUYs and SELLs that have no outcome in a record."""

    def __init__(self) -> None:
        self._open: dict[tuple[AlertKind, str], tuple[int, Opened | Closed, Rules]] = {}

    def record(self, entry: Entry, rules: Rules) -> None:
        """Records the next fact of the record, with the rules under which it was decided."""
        if isinstance(entry.event, AlertOutcome) and not entry.event.channel:
            self._open.pop((entry.event.kind, entry.event.id), None)
        for decision in entry.decisions:
            match decision:
                case Opened():
                    self._open[AlertKind.BUY, decision.id] = entry.now, decision, rules
                case Closed():
                    self._open[AlertKind.SELL, decision.id] = entry.now, decision, rules
                case Withdrawn():
                    self._open.pop((AlertKind.SELL, decision.id), None)
                case _:
                    pass

    def outstanding(self, sell_priority: int) -> list[Alert]:
        """Returns the alerts without an outcome, the oldest first. ``sell_priority`` is a SELL's."""
        made = (
            alerts.alert_for(now, decision, rules, sell_priority)
            for now, decision, rules in self._open.values()
        )
        return [alert for alert in made if alert is not None]
