"""Which headers may go to an upstream."""

from __future__ import annotations

import pytest

from tirelessd.core.headers import (
    CREDENTIAL_HEADERS,
    FRAMING_HEADERS,
    OWN_HEADERS,
    fits_a_line,
    forwarded_header_name,
    free_header_name,
    header_name,
)


@pytest.mark.parametrize("name", ["", "x y", "x\n", "x:", "ü", "x" * 256, "(x)"])
def test_other_text_is_no_header_name(name: str) -> None:
    """A name that is no token of HTTP is refused."""
    with pytest.raises(ValueError, match="must be a header name"):
        header_name(name)


@pytest.mark.parametrize("name", sorted(FRAMING_HEADERS))
def test_framing_header_is_nobodys_to_choose(name: str) -> None:
    """A header that says where a message ends cannot be set, in whatever case."""
    with pytest.raises(ValueError, match=f"must not name {name}: it frames the request"):
        free_header_name(name.upper())


@pytest.mark.parametrize("name", [*sorted(OWN_HEADERS), "proxy-x", "tirelessd-x", "webhook-x"])
def test_own_header_is_nobodys_to_choose(name: str) -> None:
    """A header that the daemon or a proxy sets cannot be set."""
    with pytest.raises(ValueError, match=f"must not name {name}: it is set by tirelessd"):
        free_header_name(name.title())


@pytest.mark.parametrize("name", sorted(CREDENTIAL_HEADERS))
def test_credentials_are_configured_but_not_forwarded(name: str) -> None:
    """An upstream's own credentials may be configured; a caller's are not passed on."""
    assert free_header_name(name.title()) == name
    with pytest.raises(ValueError, match="a caller's credentials are for tirelessd alone"):
        forwarded_header_name(name)


@pytest.mark.parametrize(
    ("value", "fits"),
    [("", True), ("a\tb é 漢", True), ("a\r\nb: c", False), ("\x00", False), ("\udcff", False)],
)
def test_value_fits_on_a_line_without_controls(value: str, *, fits: bool) -> None:
    """Tabs and any script fit; line ends, controls and lone surrogates do not."""
    assert fits_a_line(value) is fits
