"""Upgrades an older record's lines to this version's: one step for each thing that older versions wrote differently.

A new field of a fact or a decision needs no step if its default means what was meant before: it decodes (`events`). Older
headers lack rules that were added later, and hold rules that were removed; `known_rules` and `rules_of` handle both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from record.lines import Header
from record.reader import Damage
from rules import Rules


def known_rules(header: Header) -> dict[str, Any]:
    """Returns those rules of a header that this version has, by name. A rule that the header lacks gets its default."""
    return {name: value for name, value in header.rules.items() if name in Rules.model_fields}


def rules_of(path: Path, header: Header) -> Rules:
    """Returns the rules of a header. Raises Damage if this version cannot use their values."""
    try:
        return Rules.model_validate(known_rules(header))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(map(str, fault["loc"])).upper()
        raise Damage(path, 1, f"its rules cannot be used by this version ({name}: {fault['msg']})") from error
