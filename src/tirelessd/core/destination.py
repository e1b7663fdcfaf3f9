"""Which URLs an upstream may have: those that mean the same to whoever reads them.

A destination is named by the operator, so no address is forbidden; but one that is written so that
two programs read two hosts, or that could never be connected to, is refused before the start.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

# What common servers take in a request line.
URL_MAX_CHARACTERS: Final = 8_000

_URL: Final = re.compile(r"(https?)://([^/?]*)(?:[/?].*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?")
# Underscores are in no host name of the RFCs, but in those of many a container network.
_LABEL: Final = re.compile(r"(?!-)[0-9A-Za-z_-]{1,63}(?<!-)")
# WHATWG URL section 3.5: a host whose last label is a number is an IPv4 address, or none at all.
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def http_url(url: str) -> str:
    """The URL as it is; raises `ValueError`, which never shows the URL, for one not to be used.

    It is absolute, http or https, in ASCII, without credentials, spaces or fragment. Its host is a
    name, a dotted address of four decimal numbers or an IPv6 address in brackets.
    """
    if not url.isascii():
        raise ValueError("must be ASCII: write a host as xn--…, anything else as %XX")
    found = _URL.fullmatch(url) if url.isprintable() else None
    if found is None:
        raise ValueError("must be an absolute http:// or https:// URL")
    if "@" in found[2]:
        raise ValueError("must not carry credentials: put them into headers.authorization")
    if " " in url or "#" in url:
        raise ValueError("must be a URL without spaces and without a fragment")
    if len(url) > URL_MAX_CHARACTERS:
        raise ValueError(f"must not be longer than {URL_MAX_CHARACTERS} characters")
    _check_authority(found[2])
    return url


def _check_authority(authority: str) -> None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or not found[1]:
        raise ValueError("must be an absolute http:// or https:// URL: its host is none")
    if found[2] is not None and not 0 < int(found[2]) < 65_536:
        raise ValueError("must have a port from 1 to 65535")
    _check_host(found[1])


def _check_host(host: str) -> None:
    try:
        if host.startswith("["):
            _check_connectable(IPv6Address(host[1:-1]))
        elif _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            _check_connectable(IPv4Address(host))
        elif len(host) > 253 or not all(map(_LABEL.fullmatch, host.removesuffix(".").split("."))):
            raise ValueError("must have a host name or an IP address as its host")
    except AddressValueError:
        # 127.1, 0x7f000001, 017700000001 and 2130706433 are one address to some programs, names or
        # nothing to others.
        raise ValueError(
            "must have its IP address written in full: 192.0.2.1 or [2001:db8::1]"
        ) from None


def _check_connectable(address: IPv4Address | IPv6Address) -> None:
    inner = getattr(address, "ipv4_mapped", None) or address
    if inner.is_unspecified or inner.is_multicast or inner == IPv4Address("255.255.255.255"):
        raise ValueError("must have an address that one host has as its host")
    if getattr(address, "scope_id", None) is not None:
        raise ValueError("must have an IPv6 address without a zone as its host")
