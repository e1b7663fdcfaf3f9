"""Asking a running daemon how it is, with nothing but the standard library's client."""

from __future__ import annotations

import http.client
from typing import Final

from tirelessd.core.errors import TirelessdError
from tirelessd.core.outcome import bounded_text
from tirelessd.settings import ListenerSettings

ANSWER_BYTES: Final = 4_096
# What a daemon binds is not always what one can connect to.
REACHABLE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Unwell(TirelessdError):
    """The daemon cannot be reached, or says that it is not well; the message says which."""


def check_health(ops: ListenerSettings, path: str, timeout_seconds: float) -> None:
    """Return when the probe answers 200; raises `Unwell` otherwise, or after so many seconds."""
    # The daemon logs which port it was given, but nobody else can tell.
    if not ops.port:
        raise Unwell("ops.port: is 0, so nobody knows which port to ask; configure one")
    host = REACHABLE.get(ops.host, ops.host)
    connection = http.client.HTTPConnection(host, ops.port, timeout=timeout_seconds)
    asked = f"http://{f'[{host}]' if ':' in host else host}:{ops.port}{path}"
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise Unwell(f"{asked} does not answer: {reason}") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        words = bounded_text(" ".join(answer.split()))
        raise Unwell(f"{asked} answers {response.status}: {words}")
