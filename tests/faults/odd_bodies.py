"""Bodies that have broken other daemons, and the one verdict on each that every store must share.

A single item's body is bytes that nobody looks into, so all are taken. As the payload of a batch's
line it must be JSON on one line; `is_json` says whether it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Body:
    """Some bytes, and whether a line of a batch may have them as its payload."""

    content: bytes
    is_json: bool = False


def json(content: bytes) -> Body:
    """A body that is one JSON value."""
    return Body(content, is_json=True)


LARGEST_BYTES = 1_048_576
WORD = b'"' + b"x" * 1_000_000 + b'"'

BODIES: Mapping[str, Body] = {
    "empty": Body(b""),
    "spaces": Body(b" \t "),
    "truncated object": Body(b'{"a":'),
    "truncated text": Body(b'"abc'),
    "truncated escape": Body(rb'"\u00'),
    "two values": Body(b"{} {}"),
    "BOM": Body(b'\xef\xbb\xbf{"a":1}'),
    "UTF-16": Body('{"a":1}'.encode("utf-16")),
    "UTF-16 without BOM": Body('{"a":1}'.encode("utf-16-le")),
    "UTF-32": Body('{"a":1}'.encode("utf-32")),
    "Latin-1": Body(b'"\xe9"'),
    "bad UTF-8": Body(b'{"a":"\xff\xfe"}'),
    "overlong UTF-8": Body(b'"\xc0\xaf"'),
    "surrogate in UTF-8": Body(b'"\xed\xa0\x80"'),
    "bad UTF-8 in a key": Body(b'{"\xff":1}'),
    "NaN": Body(b"NaN"),
    "NaN within": Body(b'{"a":NaN}'),
    "Infinity": Body(b"-Infinity"),
    "1e999": json(b"1e999"),
    "-1e999": json(b"[-1e999]"),
    "1e-999": json(b"1e-999"),
    "5000-digit int": json(b"9" * 5_000),
    "5000-digit fraction": json(b"0." + b"1" * 5_000),
    "2**63": json(b"9223372036854775808"),
    "2**64": json(b"18446744073709551616"),
    "-2**63-1": json(b"-9223372036854775809"),
    "-0": json(b"-0"),
    "-0.0": json(b"-0.0"),
    "1.50": json(b"1.50e+00"),
    "leading zero": Body(b"01"),
    "leading plus": Body(b"+1"),
    "hexadecimal": Body(b"0x10"),
    "no digit first": Body(b".5"),
    "depth 100": json(b"[" * 100 + b"]" * 100),
    "depth 1e4": Body(b"[" * 10_000 + b"]" * 10_000),
    "depth 1e5": Body(b"[" * 100_000 + b"]" * 100_000),
    "depth 1e5, open": Body(b"[" * 100_000),
    "objects of depth 1e5": Body(b'{"":' * 100_000 + b"1" + b"}" * 100_000),
    "400k values": Body(b"[]" * 400_000),
    "300k lists": json(b"[" + b"[]," * 300_000 + b"[]]"),
    "500k numbers": json(b"[" + b"1," * 500_000 + b"1]"),
    "10k keys": json(msgspec.json.encode({f"k{n}": n for n in range(10_000)})),
    "duplicate keys": json(b'{"a":1,"a":2,"b":3,"a":null}'),
    "10k duplicate keys": json(b"{" + b'"a":1,' * 10_000 + b'"a":2}'),
    "empty keys": json(b'{"":{"":[]}}'),
    "__proto__": json(b'{"__proto__":{"x":1},"constructor":1}'),
    "NUL": Body(b'"a\x00b"'),
    "escaped NUL": json(rb'"a\u0000b"'),
    "escaped NUL in a key": json(rb'{"\u0000":1}'),
    "NULs": Body(bytes(1_000)),
    "lone high surrogate": Body(rb'"\ud800"'),
    "lone low surrogate": Body(rb'"\udc00"'),
    "surrogates the wrong way round": Body(rb'"\udc00\ud800"'),
    "surrogate pair": json(rb'"\ud83e\udd89"'),
    "emoji": json('"🦉"'.encode()),
    "line separator": json('"\u2028\u2029"'.encode()),
    "right to left": json('"\u202e\ufeff"'.encode()),
    "1 MB text": json(WORD),
    "1 MB key": json(b'{"' + b"k" * 1_000_000 + b'":1}'),
    "largest": Body(b"x" * LARGEST_BYTES),
    "control character": Body(b'"\x01"'),
    "tab": Body(b'"\t"'),
    "escapes": json(rb'"\/\b\f\n\r\t\"\\"'),
    "bad escape": Body(rb'"\x41"'),
    "single quotes": Body(b"{'a':1}"),
    "comment": Body(b'{"a":1}//x'),
    "trailing comma": Body(b"[1,]"),
    "spaces around": json(b' { "a" :\t1 } '),
    "null": json(b"null"),
    "true": json(b"true"),
    "XML": Body(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
    "HTML": Body(b"<script>alert(1)</script>"),
    "SQL": Body(b"'; DROP TABLE items;--"),
    "pickle": Body(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00N."),
    "all bytes": Body(bytes(range(256))),
    "form": Body(b"a=1&b=%00"),
    "lines": Body(b"a\r\nb\n\nc\r"),
}

CONTENT_TYPES = (
    "application/json; charset=utf-7",
    "application/json; charset=zlib",
    "application/json; charset=rot13",
    "application/json; charset=unknown",
    "application/json; charset=utf-16",
    "application/json; charset=unicode_escape",
    "application/json; charset=",
    "application/json; charset='",
    "multipart/form-data; boundary=",
    "application/x-www-form-urlencoded",
    ";;;===",
    "a",
    "text/html; x=<script>",
)
"""Kept as they are: nobody decodes a payload by the word of its sender."""
