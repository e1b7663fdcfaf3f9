"""Which URLs an upstream may have."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirelessd.core.destination import URL_MAX_CHARACTERS, http_url

ABSOLUTE = "must be an absolute http:// or https:// URL"
IN_FULL = "must have its IP address written in full: 192.0.2.1 or [2001:db8::1]"
ASCII = "must be ASCII: write a host as xn--…, anything else as %XX"
ONE_HOST = "must have an address that one host has as its host"
A_HOST = "must have a host name or an IP address as its host"
A_PORT = "must have a port from 1 to 65535"
NO_CREDENTIALS = "must not carry credentials: put them into headers.authorization"
NO_SPACE = "must be a URL without spaces and without a fragment"


@pytest.mark.parametrize(
    "url",
    [
        "http://models/predict",
        "https://models.example.com./a%2Fb?x=%2F&y=a+b%zz",
        "HTTP://Models:8000",
        "http://model_server-1:65535?x",
        "http://xn--bcher-kva.example/../a//b",
        "http://127.0.0.1:22/",
        "http://169.254.169.254/latest",
        "http://[::1]:8000/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[fd00:ec2::254]/",
    ],
)
def test_clear_url_is_taken_as_it_is(url: str) -> None:
    """A name, a full address and any port are the operator's to choose; nothing is rewritten."""
    assert http_url(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.1/", IN_FULL),
        ("http://127.0.1/", IN_FULL),
        ("http://0/", IN_FULL),
        ("http://2130706433/", IN_FULL),
        ("http://0x7f000001/", IN_FULL),
        ("http://0x7f.1/", IN_FULL),
        ("http://017700000001/", IN_FULL),
        ("http://0177.0.0.1/", IN_FULL),
        ("http://256.0.0.1/", IN_FULL),
        ("http://127.0.0.1./", IN_FULL),
        ("http://1.2.3.4.5/", IN_FULL),
        ("http://name.0x7f/", IN_FULL),
        ("http://[1.2.3.4]/", IN_FULL),
        ("http://[v1.x]/", IN_FULL),
        ("http://[]/", IN_FULL),
        ("http://0.0.0.0/", ONE_HOST),
        ("http://[::]/", ONE_HOST),
        ("http://[::ffff:0.0.0.0]/", ONE_HOST),
        ("http://255.255.255.255/", ONE_HOST),
        ("http://224.0.0.1/", ONE_HOST),
        ("http://[ff02::1]/", ONE_HOST),
        ("http://[fe80::1%25eth0]/", "must have an IPv6 address without a zone as its host"),
        ("http://①②⑦.0.0.1/", ASCII),
        ("http://localhost。/", ASCII),
        ("http://bücher.example/", ASCII),
        ("http://models/ü", ASCII),
        ("http://models:８０/", ASCII),  # noqa: RUF001
        ("http://h%41/", A_HOST),
        ("http://evil\\.com/", A_HOST),
        ("http://a..b/", A_HOST),
        ("http://.a/", A_HOST),
        ("http://-a/", A_HOST),
        ("http://a,b/", A_HOST),
        (f"http://{'a' * 64}/", A_HOST),
        (f"http://{'a.' * 127}b/", A_HOST),
        ("http://h:0/", A_PORT),
        ("http://h:65536/", A_PORT),
        ("http://h:/", f"{ABSOLUTE}: its host is none"),
        ("http://h:8x/", f"{ABSOLUTE}: its host is none"),
        ("http://h:-1/", f"{ABSOLUTE}: its host is none"),
        ("http://:80/", f"{ABSOLUTE}: its host is none"),
        ("http:///h", f"{ABSOLUTE}: its host is none"),
        ("http://::1/", f"{ABSOLUTE}: its host is none"),
        ("http://[::1", f"{ABSOLUTE}: its host is none"),
        ("http://[::1]x/", f"{ABSOLUTE}: its host is none"),
        ("http://user:hunter2@h/", NO_CREDENTIALS),
        ("http://@h/", NO_CREDENTIALS),
        ("http://h\\@evil/", NO_CREDENTIALS),
        ("http://h /", NO_SPACE),
        (" http://h/", ABSOLUTE),
        ("http://h/#part", NO_SPACE),
        ("http://h#@evil/", NO_CREDENTIALS),
        ("http://h/\n", ABSOLUTE),
        ("http://h\r\nX: y/", ABSOLUTE),
        ("http://h/\x00", ABSOLUTE),
        ("http:h", ABSOLUTE),
        ("//h/", ABSOLUTE),
        ("file:///etc/passwd", ABSOLUTE),
        ("gopher://h/", ABSOLUTE),
        ("unix:/run/socket", ABSOLUTE),
        ("", ABSOLUTE),
        (f"http://h/{'a' * URL_MAX_CHARACTERS}", "must not be longer than 8000 characters"),
    ],
)
def test_url_of_two_meanings_or_none_is_refused(url: str, message: str) -> None:
    """What programs read as different hosts, or as none, is refused in words that fit."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        http_url(url)

    assert str(caught.value) == message


@given(st.text(max_size=40))
def test_check_ends_in_a_verdict(rest: str) -> None:
    """Whatever stands behind the scheme, the answer is the URL itself or a `ValueError`."""
    try:
        verdict = http_url(f"http://{rest}")
    except ValueError:
        return

    assert verdict == f"http://{rest}"
