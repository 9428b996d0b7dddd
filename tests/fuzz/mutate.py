"""Makes odd things of valid ones: JSON values and objects as text, and bytes. Everything is drawn from the given randomness."""

from __future__ import annotations

import json
import random
from typing import Any

Pairs = list[tuple[bytes, bytes]]
"""An object as text: each key and value as JSON, in order, because keys may repeat and values need not be JSON."""

TOKENS: tuple[bytes, ...] = (
    b"null", b"true", b"false", b"0", b"-0", b"-0.0", b"1", b"-1", b"12.0", b"0.5", b"1e2", b"2.4178E2", b"1e-320", b"9e-324",
    b"1e308", b"-1e308", b"1e309", b"9e999999999", b"1e-999999999", b"NaN", b"Infinity", b"-Infinity", b"nan", b"undefined", b"None",
    b"1.", b".5", b"01", b"+1", b"0x10", b"1e", b"1_000", b"--1", b"1 2", b"9007199254740993", b"9223372036854775807",
    b"9223372036854775808", b"18446744073709551616", b'""', b'" "', b'"0"', b'"1"', b'"241.77"', b'"1e400"', b'"NaN"', b'"IWM"',
    b'"A"', b'"Q"', b'"status"', b'"REAL-TIME"', b'"call"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\u202e"', b'"\xff"',
    b'"\x00"', b'"\n"', b'"\\x"', b'"\xf0\x9f\x93\x88"', b'"\xd9\xa3"', b"[]", b"{}", b"[1]", b"[null]", b'{"ev":"A"}', b"'1'",
    b"946684800000", b"4102444800000", b"1e6", b"1000000.1", b"0.01", b"0.0099", b"-5", b"1e12", b"999999999999",
)  # fmt: skip
"""Values that are nothing, at a bound, of another kind, or no JSON."""

NESTS = (2, 50, 400, 1_200, 3_000)
"""How deep a value may be nested: as usual, and deeper than readers go."""


def text_of(value: Any) -> bytes:
    """Returns a value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def pairs_of(value: dict[str, Any]) -> Pairs:
    """Returns an object as text."""
    return [(text_of(key), text_of(item)) for key, item in value.items()]


def joined(pairs: Pairs) -> bytes:
    """Returns an object's JSON."""
    return b"{" + b",".join(key + b":" + value for key, value in pairs) + b"}"


def odd_value(source: random.Random, near: bytes = b"0") -> bytes:
    """Returns the text of an odd value, perhaps made of the ``near`` one that stands there."""
    draw = source.random()
    if draw < 0.62:
        return source.choice(TOKENS)
    if draw < 0.72:
        return b"9" * source.choice((18, 19, 20, 39, 41, 310, 4_299, 4_301))
    if draw < 0.78:
        return b"0." + b"0" * source.choice((10, 330, 5_000)) + b"1"
    if draw < 0.84:
        depth = source.choice(NESTS)
        opening, closing = source.choice(((b"[", b"]"), (b'{"a":', b"}")))
        return opening * depth + b"0" + closing * depth
    if draw < 0.9:
        return near + source.choice((b"0", b"000", b"e3", b".0", b"e-3", b'"', b" ", b"-"))
    if draw < 0.95:
        return b'"' + near.strip(b'"') + b'"'
    return b"[" + b",".join([near] * source.choice((1, 2, 300))) + b"]"


def _odd_pair(source: random.Random, pairs: Pairs) -> Pairs:
    """Returns the pairs with one change."""
    changed = list(pairs)
    place = source.randrange(len(changed)) if changed else 0
    key, value = changed[place] if changed else (b'"x"', b"0")
    match source.randrange(10):
        case 0:
            del changed[place : place + 1]
        case 1:
            changed.insert(source.randrange(len(changed) + 1), (key, odd_value(source, value)))
        case 2:
            extra = source.choice(
                (b'"x"', b'""', b'"\\ud800"', b'"ev "', b'"\xc3\xa9"', b"x", b'"' + b"k" * 5_000 + b'"')
            )
            changed.insert(source.randrange(len(changed) + 1), (extra, odd_value(source)))
        case 3 if len(changed) > 1:
            other = source.randrange(len(changed))
            changed[place], changed[other] = (key, changed[other][1]), (changed[other][0], value)
        case 4:
            source.shuffle(changed)
        case 5:
            changed[place : place + 1] = [(b" " + key + b"\t", b"\n" + value + b"\r ")]
        case _:
            changed[place : place + 1] = [(key, odd_value(source, value))]
    return changed


def odd_object(source: random.Random, value: dict[str, Any], changes: int) -> bytes:
    """Returns the JSON of an object after so many changes, at its top or in an object inside it."""
    pairs = pairs_of(value)
    inner = [name for name, item in value.items() if isinstance(item, dict) and item]
    for _ in range(changes):
        if inner and source.random() < 0.6:
            name = source.choice(inner)
            found = [place for place, (key, _) in enumerate(pairs) if key == text_of(name)]
            if found:
                pairs[found[0]] = (text_of(name), joined(_odd_pair(source, pairs_of(value[name]))))
        else:
            pairs = _odd_pair(source, pairs)
    return joined(pairs)


NASTY = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"e",
    b"-",
    b"9",
    b"NaN",
    b"\n",
    b"\xef\xbb\xbf",
    b"\\u",
    b"//",
    b"#",
    b"=",
    b"$",
)


def odd_bytes(source: random.Random, data: bytes, changes: int = 1) -> bytes:
    """Returns bytes with bits flipped, cut, inserted, repeated, moved or removed."""
    changed = bytearray(data)
    for _ in range(changes):
        size = len(changed)
        place = source.randrange(size + 1)
        length = min(size - place, source.choice((1, 1, 2, 7, 40, 400)))
        match source.randrange(7):
            case 0 | 1 if place < size:
                changed[place] ^= 1 << source.randrange(8)
            case 2:
                del changed[place:]
            case 3:
                changed[place:place] = source.choice(NASTY) * source.choice((1, 1, 2, 30))
            case 4:
                del changed[place : place + length]
            case 5:
                changed[place:place] = changed[place : place + length]
            case _:
                piece = changed[place : place + length]
                del changed[place : place + length]
                there = source.randrange(len(changed) + 1)
                changed[there:there] = piece
    return bytes(changed)


def is_contained(text: bytes) -> bool:
    """Returns whether a piece of JSON text, good or bad, ends where it seems to: its brackets and quotes have their pairs."""
    depth: list[int] = []
    in_text = escaped = False
    for byte in text:
        if escaped:
            escaped = False
        elif in_text:
            escaped = byte == 0x5C
            in_text = byte != 0x22
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth.append(byte + 2)
        elif byte in b"]}" and (not depth or depth.pop() != byte):
            return False
    return not depth and not in_text
