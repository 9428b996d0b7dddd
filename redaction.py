"""Hides secrets in a text, in every spelling that a log may show: plain, encoded, escaped, or a part of one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
"""What stands in the log where a secret was."""

SECRET_PART_LENGTH = 12
"""Parts of a secret address (a path segment, a query value) from this length on are secrets themselves."""

BASE64_LENGTH = 8
"""Shortest run of base64 that is looked for: shorter ones occur by chance."""

WORD_LENGTH = 6
"""A shorter secret, which only a test or a slip has, is hidden where it stands alone: ``k`` stands in every word."""

RUN_LENGTH = 10
"""Characters of a secret in a row that are hidden: what a cut or a line break leaves of a key is a part of it."""

ENCODINGS_DEEP = 3
"""How often a text is decoded in search of a secret: a proxy may encode an address that was encoded before."""

_KEY_IN_URL = re.compile(r"(?i)(\bapi_?key=|\btoken=|\bbearer\s+)[^\s&\"'<>]+")

_WORD = re.compile(r"""[^\s"'<>()\[\]{},]+""")

_ESCAPE = re.compile(r"\\{1,8}(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))")


def redactor(secrets: Sequence[str]) -> Callable[[str], str]:
    """A function that replaces each secret, in the spellings that logs show, with ``***``.

    Besides the plain text: percent-encoded in whatever mixture, escaped as in JSON, and base64 at any offset; of an
    address also the parts that make it secret. Of each, a part of ``RUN_LENGTH`` characters is hidden as well: a text
    may have been cut. What follows ``apiKey=``, ``token=`` or ``Bearer`` is replaced whoever's it is.
    """
    parts = {part for secret in secrets for part in _parts(secret)}
    spellings = {form for part in parts for form in _spellings(part)}
    known = re.compile("|".join(map(_pattern, sorted(spellings, key=len, reverse=True))) or r"(?!)")
    runs = frozenset(run for part in parts if "://" not in part for run in _runs(part))

    def redact(text: str) -> str:
        text = _KEY_IN_URL.sub(rf"\1{MASK}", known.sub(MASK, text))
        if not runs:
            return text
        if "%" in text or "\\" in text:
            text = _WORD.sub(lambda word: MASK if _holds(word[0], runs) else word[0], text)
        return _without_runs(text, runs)

    return redact


def _pattern(spelling: str) -> str:
    """A pattern that finds a spelling of a secret; a short one as a word of its own."""
    found = re.escape(spelling)
    return found if len(spelling) >= WORD_LENGTH else rf"(?<![A-Za-z0-9]){found}(?![A-Za-z0-9])"


def _runs(text: str) -> Iterator[str]:
    return (text[start : start + RUN_LENGTH] for start in range(len(text) - RUN_LENGTH + 1))


def _without_runs(text: str, runs: frozenset[str]) -> str:
    """``text`` with every stretch that is made of ``runs`` masked."""
    found = [start for start, run in enumerate(_runs(text)) if run in runs]
    if not found:
        return text
    kept: list[str] = []
    end = 0
    for start in found:
        if start > end or not kept:
            kept += [text[end:start], MASK]
        end = start + RUN_LENGTH
    return "".join([*kept, text[end:]])


def _holds(word: str, runs: frozenset[str]) -> bool:
    """Whether a word that is percent-encoded, or escaped with backslashes, holds one of ``runs``."""
    for _ in range(ENCODINGS_DEEP if "%" in word or "\\" in word else 0):
        word = _ESCAPE.sub(lambda escape: chr(int(escape[1] or escape[2], 16)), unquote(word))
        if any(run in runs for run in _runs(word)):
            return True
    return False


def _parts(secret: str) -> Iterator[str]:
    if not secret:
        return
    yield secret
    if "://" not in secret:
        return
    try:
        address = urlsplit(secret)
        host, password = address.hostname, address.password
    except ValueError:
        return  # no address by which anything could be asked
    if password:
        yield from {password, unquote(password)}
    whole = address.path + (f"?{address.query}" if address.query else "")
    # Several addresses may stand in one setting, with commas or blanks between them.
    words = re.split(r"[/?&=:@\s,]", secret.split("://", 1)[1])
    for part in (secret.rstrip("/"), whole, address.path, *words):
        if len(part) >= SECRET_PART_LENGTH and part != host:
            yield from {part, unquote(part)}


def _spellings(secret: str) -> Iterator[str]:
    for written in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
        yield written
        yield json.dumps(written)[1:-1]
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda escape: escape[0].lower(), encoded)
    raw = secret.encode()
    for offset, spoilt in ((0, 0), (1, 2), (2, 3)):
        # Three bytes make four letters: those that share bits with a neighbour differ with it and are left out.
        padded = bytes(offset) + raw
        whole = len(padded) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            letters = encode(padded).decode()[spoilt:whole]
            if len(letters) >= BASE64_LENGTH:
                yield letters
