"""Hides secrets in a text, in every spelling that a log may show: plain, encoded, escaped or cut off."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
"""What replaces a secret."""

SECRET_PART_LENGTH = 12
"""A part of a secret address (a path segment, a query value) of at least this length is a secret, too."""

BASE64_LENGTH = 8
"""The shortest run of base64 to search for: shorter ones occur by chance."""

WORD_LENGTH = 6
"""A secret shorter than this (a test's, or a mistake) is hidden only as a whole word: ``k`` is part of many words."""

RUN_LENGTH = 10
"""Any run of this many characters of a secret is hidden: a cut or a line break may leave just a part of a key."""

ENCODINGS_DEEP = 3
"""How many times a word is decoded in search of a secret: a proxy may encode an encoded address again."""

_KEY_IN_URL = re.compile(r"(?i)(\bapi_?key=|\btoken=|\bbearer\s+)[^\s&\"'<>]+")

_WORD = re.compile(r"""[^\s"'<>()\[\]{},]+""")

_ESCAPE = re.compile(r"\\{1,8}(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))")


def redactor(secrets: Sequence[str]) -> Callable[[str], str]:
    """Returns a function that replaces each secret, in every spelling that a log may show, with ``***``.

    The function finds plain text, any mixture of percent-encoding, JSON escapes, base64 at any offset, and the secret
    parts of an address. It also hides any `RUN_LENGTH` characters of a secret, because a text may have been cut, and
    whatever follows ``apiKey=``, ``token=`` or ``Bearer``.
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
    """Returns a pattern for one spelling of a secret. A short one matches only as a whole word."""
    found = re.escape(spelling)
    return found if len(spelling) >= WORD_LENGTH else rf"(?<![A-Za-z0-9]){found}(?![A-Za-z0-9])"


def _runs(text: str) -> Iterator[str]:
    return (text[start : start + RUN_LENGTH] for start in range(len(text) - RUN_LENGTH + 1))


def _without_runs(text: str, runs: frozenset[str]) -> str:
    """Returns ``text`` with every stretch of ``runs`` masked."""
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
    """Returns whether a percent-encoded or backslash-escaped word contains one of ``runs``."""
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
        return  # not a valid address
    if password:
        yield from {password, unquote(password)}
    whole = address.path + (f"?{address.query}" if address.query else "")
    # One setting may hold several addresses, separated by commas or blanks.
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
        # Three bytes make four letters. Leave out letters that share bits with a neighbouring byte, which is unknown.
        padded = bytes(offset) + raw
        whole = len(padded) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            letters = encode(padded).decode()[spoilt:whole]
            if len(letters) >= BASE64_LENGTH:
                yield letters
