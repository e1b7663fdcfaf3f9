"""Payloads are opaque: whatever the bytes and whatever their name, they come back as they were."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.api.edge import Edge, problem_in
from tirelessd.core.events import ItemSucceeded

ITEMS = "/v1/queues/work/items"

BODIES = {
    "truncated JSON": b'{"a": [1, 2',
    "empty": b"",
    "blank": b" \r\n\t ",
    "NUL alone": b"\x00",
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16 with its mark": '{"a": "ä"}'.encode("utf-16"),
    "UTF-16 without": '{"a": "ä"}'.encode("utf-16-be"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "lone continuation byte": b'{"a": "\x80"}',
    "overlong slash": b'{"a": "\xc0\xaf"}',
    "encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "beyond Unicode": b'{"a": "\xf5\x80\x80\x80"}',
    "latin-1": "müde".encode("latin-1"),
    "escaped surrogate": rb'{"a": "\ud800"}',
    "escaped NUL": rb'{"a": "\u0000"}',
    "NUL in a string": b'{"a": "x\x00y"}',
    "control characters": bytes(range(32)),
    "every byte": bytes(range(256)),
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "1e999": b'{"a": 1e999}',
    "tiny": b'{"a": 1e-999}',
    "5 000 digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "2 to the 64": b'{"a": 18446744073709551616}',
    "2 to the 63": b'{"a": 9223372036854775808}',
    "negative zero": b'{"a": -0.0}',
    "leading zero": b'{"a": 01}',
    "plus": b'{"a": +1}',
    "hexadecimal": b'{"a": 0x10}',
    "1 000 deep": b"[" * 1_000 + b"]" * 1_000,
    "20 000 deep": b"[" * 20_000 + b"]" * 20_000,
    "30 000 open": b"[" * 30_000,
    "deep objects": b'{"a":' * 8_000 + b"1" + b"}" * 8_000,
    "4 000 keys": b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(4_000)) + b"}",
    "duplicate keys": b'{"a": 1, "a": 2}',
    "empty key": b'{"": 1}',
    "dangerous key": b'{"__proto__": {"x": 1}}',
    "60 kB string": b'"' + b"x" * 60_000 + b'"',
    "60 kB escapes": b'"' + rb"\u0041" * 10_000 + b'"',
    "trailing comma": b'{"a": 1,}',
    "trailing text": b'{"a": 1} x',
    "two documents": b'{"a": 1}\n{"a": 2}\n',
    "comment": b'{"a": 1 /* why */}',
    "single quotes": b"{'a': 1}",
    "bare word": b"{a: 1}",
    "separators": '{"a": "\u2028\u2029"}'.encode(),
    "emoji": '{"a": "🦉"}'.encode(),
    "gzip": gzip.compress(b'{"a": 1}', mtime=0),
    "deflate": zlib.compress(b'{"a": 1}'),
    "XML bomb": b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
    "multipart": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
    "form": b"a=1&a=2&%ff=%00",
    "request in a request": b"POST /v1/queues/work/items HTTP/1.1\r\nHost: t\r\n\r\n",
    "chunk end": b"0\r\n\r\n",
    "SQL": b"'); DROP TABLE items; --",
    "template": b"${jndi:ldap://x}{{7*7}}",
}
TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "application/json; charset=no-such",
    "application/json; charset=zlib",
    "text/plain; charset=rot13",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/x-python-pickle",
    "*/*",
    "a/b;c=d",
    'multipart/x; boundary="--= "',
    "no type at all",
]


async def test_payload_comes_back_byte_for_byte(idle: Edge) -> None:
    """Nothing parses a payload, so nothing can be wrong with it."""
    kept: dict[str, tuple[bytes, str, int]] = {}

    for name, body in BODIES.items():
        path = f"/v1/items/{(await idle.submit(body, Content_Type='application/json'))['id']}"
        response = await idle.client.get(f"{path}/payload")
        size = (await idle.get(path))["payload_bytes"]
        kept[name] = (await response.read(), response.headers["Content-Type"], size)

    assert kept == {name: (body, "application/json", len(body)) for name, body in BODIES.items()}


async def test_content_type_changes_nothing(idle: Edge) -> None:
    """Not even a charset that does not exist, or one that is a codec of its own."""
    kept: dict[str, tuple[str, bytes]] = {}

    for content_type in TYPES:
        receipt = await idle.submit(b"\xff\x00", Content_Type=content_type)
        response = await idle.client.get(f"/v1/items/{receipt['id']}/payload")
        kept[content_type] = (response.headers["Content-Type"], await response.read())

    assert kept == {content_type: (content_type, b"\xff\x00") for content_type in TYPES}


async def test_handler_is_given_the_same_bytes(edge: Edge) -> None:
    """What the handler gets is what was sent."""
    for body in BODIES.values():
        await edge.submit(body)
    await edge.house.recorder.wait_for(ItemSucceeded, len(BODIES))

    handled = {payload for payload, _ in edge.house.handlers["work"].calls}

    assert handled == set(BODIES.values())


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"\x00" * 1_000_000, mtime=0)),
        ("gzip", b"no gzip at all"),
        ("deflate", zlib.compress(b"x")),
        ("br", b"\x0b\x02\x80x\x03"),
        ("zstd", b"\x28\xb5\x2f\xfd\x00"),
        ("gzip, gzip", b"x"),
        ("no-such", b"x"),
        ("identity", b"x"),
        ("", b"x"),
    ],
)
async def test_encoded_body_is_not_taken(idle: Edge, encoding: str, body: bytes) -> None:
    """A bomb is never unpacked: with Content-Encoding nothing is read at all."""
    response = await idle.client.post(ITEMS, data=body, headers={"Content-Encoding": encoding})

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (415, "unsupported_content_encoding")


async def test_payload_is_harmless_in_a_browser(idle: Edge) -> None:
    """A caller's HTML is a download, never a page of this origin."""
    receipt = await idle.submit(b"<script>alert(1)</script>", Content_Type="text/html")

    response = await idle.client.get(f"/v1/items/{receipt['id']}/payload")

    assert response.headers["Content-Disposition"] == "attachment"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
