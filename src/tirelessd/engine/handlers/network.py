"""Names for what goes wrong between here and an upstream.

`connect` means that no connection came about and the upstream has seen nothing of the item; `tls`
that it came about and was not to be trusted. Later than that it may have seen the item: `protocol`
when the connection broke or what came was no HTTP answer, `timeout` when nothing came in time.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import http_exceptions

from tirelessd.core.errors import AttemptError
from tirelessd.core.outcome import Reason
from tirelessd.engine.handlers.connection import (
    FRAMING_MAX_BYTES,
    INFORMATIONAL_MAX,
    TooManyInformationalError,
    TooMuchFramingError,
)
from tirelessd.engine.handlers.upstream import (
    BodyBrokenOffError,
    HeadBrokenOffError,
    StaleConnectionError,
    UnaskedAnswerError,
)

Named = tuple[Reason, str]


def network_failure(error: aiohttp.ClientError, *, is_tls: bool = False) -> AttemptError:
    """The failure that an error of the HTTP client means; its detail never holds the URL."""
    for kind, name in _KINDS:
        if isinstance(error, kind):
            # The error itself cannot tell: aiohttp says `ssl` of plain connections, too.
            named: Callable[[Any], Named] = (
                _handshake if is_tls and _is_handshake_ended(error) else name
            )
            reason, detail = named(error)
            return AttemptError(reason, detail)
    # No text: what aiohttp says of an error may hold the URL, and a URL may hold a key.
    return AttemptError(Reason.PROTOCOL, f"the HTTP client failed: {type(error).__name__}")


def _is_handshake_ended(error: aiohttp.ClientError) -> bool:
    """Connecting ends refused or unreachable; only a handshake is closed or reset in the middle."""
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionResetError | ConnectionAbortedError
    )


def _certificate(error: aiohttp.ClientConnectorCertificateError) -> Named:
    refused = error.certificate_error
    why = getattr(refused, "verify_message", "") or str(refused)
    return Reason.TLS, f"the certificate of {error.host}:{error.port} is refused: {why}"


def _handshake(error: aiohttp.ClientConnectorError) -> Named:
    why = getattr(error.os_error, "reason", None) or str(error.os_error) or "closed by the upstream"
    return Reason.TLS, f"TLS handshake with {error.host}:{error.port} failed: {why}"


def _name_lookup(error: aiohttp.ClientConnectorDNSError) -> Named:
    return Reason.CONNECT, f"cannot resolve {error.host}: {_system_text(error.os_error)}"


def _connecting(error: aiohttp.ClientConnectorError) -> Named:
    where = f"{error.host}:{error.port}"
    return Reason.CONNECT, f"cannot connect to {where}: {_system_text(error.os_error)}"


def _connecting_too_long(_: object) -> Named:
    return Reason.CONNECT, "no connection, TLS included, within connect_timeout_seconds"


def _silence(_: object) -> Named:
    return Reason.TIMEOUT, "not a byte within read_timeout_seconds"


def _stale(error: StaleConnectionError) -> Named:
    how = _how(error.__cause__)
    return Reason.PROTOCOL, f"the kept-alive connection broke before it was answered: {how}"


def _unasked(_: object) -> Named:
    return Reason.PROTOCOL, "an answer nobody had asked for lay on the kept-alive connection"


def _informational(_: object) -> Named:
    return Reason.PROTOCOL, f"more than {INFORMATIONAL_MAX} answers of 1xx before the real one"


def _framing(_: object) -> Named:
    return Reason.PROTOCOL, (
        f"more than {FRAMING_MAX_BYTES} bytes of headers, chunk extensions or trailers"
    )


def _head_broken_off(error: HeadBrokenOffError) -> Named:
    where = f"after {error.received_bytes} bytes of the answer's head"
    return Reason.PROTOCOL, f"the connection broke {where}: {_how(error.__cause__)}"


def _disconnected(_: object) -> Named:
    return Reason.PROTOCOL, "the upstream closed the connection before it answered"


def _body_broken_off(error: BodyBrokenOffError) -> Named:
    # aiohttp's error for the body wraps that of the parser, which says what is missing or wrong.
    parsed = error.__cause__ and error.__cause__.__cause__
    words = " ".join(str(getattr(parsed, "message", "")).split())
    return Reason.PROTOCOL, f"the answer broke off: {_how(error.broken)}" + (words and f": {words}")


def _how(error: BaseException | None) -> str:
    """What ended a connection, in a few words."""
    if isinstance(error, http_exceptions.HttpProcessingError):
        return "it is not HTTP as it should be"
    # An end without an error number is an orderly one.
    return _system_text(error) if isinstance(error, OSError) and error.errno else "closed"


def _garbage(error: aiohttp.ClientResponseError) -> Named:
    # The parser draws its complaint over several lines.
    complaint = " ".join(error.message.split())
    return Reason.PROTOCOL, f"the answer is not HTTP as it should be: {complaint}"


def _broken(error: aiohttp.ClientOSError) -> Named:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return Reason.TLS, f"TLS broke off: {cause.reason or cause}"
    # Where the request could not be written, aiohttp's own words hold the URL, and that a key.
    told = cause if isinstance(cause, OSError) else error
    if not told.errno:
        return _disconnected(error)
    return Reason.PROTOCOL, f"the connection broke before it was answered: {_system_text(told)}"


def _system_text(error: OSError) -> str:
    """The system's own words; aiohttp's repeat the address, once for each address of a host."""
    if isinstance(error.errno, int) and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


# The first that fits counts, so each stands before those it is a kind of.
_KINDS: Final[tuple[tuple[type[aiohttp.ClientError], Callable[[Any], Named]], ...]] = (
    (aiohttp.ClientConnectorCertificateError, _certificate),
    (aiohttp.ClientConnectorSSLError, _handshake),
    (aiohttp.ClientConnectorDNSError, _name_lookup),
    (aiohttp.ClientConnectorError, _connecting),
    (aiohttp.ConnectionTimeoutError, _connecting_too_long),
    (aiohttp.ServerTimeoutError, _silence),
    (StaleConnectionError, _stale),
    (UnaskedAnswerError, _unasked),
    (HeadBrokenOffError, _head_broken_off),
    (BodyBrokenOffError, _body_broken_off),
    (TooManyInformationalError, _informational),
    (TooMuchFramingError, _framing),
    (aiohttp.ServerDisconnectedError, _disconnected),
    (aiohttp.ClientResponseError, _garbage),
    (aiohttp.ClientOSError, _broken),
)
