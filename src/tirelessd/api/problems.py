"""Every problem the API can answer with: one table of codes, one way from error to document.

The table is the promise to callers (a code never changes its meaning) and the source of the
OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import uuid_utils
from aiohttp import web

from tirelessd.api.answers import SERVER
from tirelessd.api.refusals import (
    BatchRejected,
    MethodNotAllowed,
    MissingScope,
    Unauthenticated,
)
from tirelessd.api.shapes import BatchProblem, Problem
from tirelessd.core.errors import (
    CommitUnknown,
    InvalidRequest,
    KeyConflict,
    NotCancellable,
    NotFinished,
    Rejected,
    StoreError,
)
from tirelessd.core.events import IntakeResult

MEDIA_TYPE: Final = "application/problem+json"
DETAIL_MAX_CHARACTERS: Final = 500
TYPE_PREFIX: Final = "urn:tirelessd:problem:"


class Kind(msgspec.Struct, frozen=True):
    """A code of the catalogue; `result` is what a submission that ends so is counted as."""

    status: int
    title: str
    result: IntakeResult = "invalid"


CATALOGUE: Final[Mapping[str, Kind]] = {
    # What was sent cannot be read.
    "invalid_request": Kind(400, "A part of the request is malformed"),
    "malformed_request": Kind(400, "The request breaks the rules of HTTP"),
    # Who sent it may not do this.
    "unauthenticated": Kind(401, "A known bearer token is needed", "unauthorized"),
    "missing_scope": Kind(403, "The token lacks a scope", "unauthorized"),
    "queue_not_allowed": Kind(403, "The token is limited to other queues", "unauthorized"),
    "cross_origin": Kind(403, "Web pages may not call this API", "unauthorized"),
    # What it is about is not there, or not so.
    "unknown_path": Kind(404, "Nothing is served here"),
    "unknown_queue": Kind(404, "The queue is not configured"),
    "unknown_item": Kind(404, "The item is not stored"),
    "no_result": Kind(404, "The item ended without a result"),
    "method_not_allowed": Kind(405, "The method is not served here"),
    # How it was sent is too slow, too large or in the wrong form.
    "request_timeout": Kind(408, "The request took too long to arrive"),
    "not_cancellable": Kind(409, "The item is no longer queued"),
    "not_finished": Kind(409, "The item has not ended"),
    "body_too_large": Kind(413, "The body is too large", "too_large"),
    "batch_too_large": Kind(413, "The batch is too large", "too_large"),
    "unsupported_media_type": Kind(415, "The body's type is not read here"),
    "unsupported_content_encoding": Kind(415, "Encoded bodies are not read"),
    "expectation_failed": Kind(417, "The expectation cannot be met"),
    # What it says contradicts what was said before.
    "idempotency_key_reused": Kind(422, "The idempotency key stands for another request"),
    "batch_rejected": Kind(422, "No line of the batch was accepted"),
    # The daemon cannot do it, now or ever; the caller is not at fault.
    "internal_error": Kind(500, "The daemon has a defect", "internal_error"),
    "overloaded": Kind(503, "Too much is being sent at once", "rate_limited"),
    "queue_full": Kind(503, "The queue is full", "queue_full"),
    "draining": Kind(503, "The daemon is shutting down", "draining"),
    "store_unavailable": Kind(503, "The store cannot be used now", "store_error"),
    "store_full": Kind(503, "The store has no room left", "store_error"),
}

# What the store says of itself may name paths and hosts: that is for the log, not for callers.
_STORE_DETAIL: Final = "the store could not do this now; try again"
_UNKNOWN_DETAIL: Final = (
    "whether this was stored could not be learned; "
    "send it again with the same idempotency key, or look for it first"
)
_DEFECT_DETAIL: Final = "this is not the request's fault; the request_id finds it in the log"


def new_request_id() -> str:
    """A name for one refused request, by which its answer and a line of the log find each other."""
    return str(uuid_utils.uuid7())


def code_of(error: Exception) -> str:
    """The catalogue's code for an exception that a handler let out."""
    if isinstance(error, BatchRejected) and error.cause is not None:
        return error.cause.code
    if isinstance(error, Rejected | StoreError):
        return error.code
    # Out of a handler these come from reading the body only: the engine wraps its own.
    if isinstance(error, ConnectionError | web.RequestPayloadError):
        return "malformed_request"
    return "internal_error"


def problem_of(
    error: Exception, *, is_submit: bool = False, request_id: str | None = None
) -> Problem:
    """The document for an exception; `is_submit` adds what became of the submission."""
    code = code_of(error)
    kind = CATALOGUE[code]
    fields: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": kind.title,
        "status": kind.status,
        "code": code,
        "detail": _clean(_detail_of(error)),
        **_extensions(error),
    }
    if request_id is not None:
        fields["request_id"] = request_id
    if is_submit and kind.status >= 500:
        fields["accepted"] = _accepted(error)
    if isinstance(error, BatchRejected):
        return BatchProblem(**fields)
    return Problem(**fields)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """The document as an answer."""
    return web.Response(
        body=msgspec.json.encode(problem),
        status=problem.status,
        headers={"Content-Type": MEDIA_TYPE, "Server": SERVER, **(headers or {})},
    )


def problem_headers(error: Exception) -> dict[str, str]:
    """The header fields that tell more of this error's status."""
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": error.challenge}
        case MissingScope():
            challenge = f'Bearer error="insufficient_scope", scope="{error.scope}"'
            return {"WWW-Authenticate": challenge}
        case MethodNotAllowed():
            return {"Allow": error.allow}
        case _:
            return {}


def _detail_of(error: Exception) -> str:
    match error:
        case Rejected():
            return error.message
        case CommitUnknown():
            return _UNKNOWN_DETAIL
        case StoreError():
            return _STORE_DETAIL
        case ConnectionError() | web.RequestPayloadError():
            return "the body is framed wrongly, or ended before it was complete"
        case _:
            return _DEFECT_DETAIL


def _extensions(error: Exception) -> dict[str, Any]:
    match error:
        case InvalidRequest():
            return {"field": _clean(error.field)}
        case NotCancellable() | NotFinished():
            return {"state": error.state}
        case KeyConflict():
            return {"item_id": error.item_id}
        case MissingScope():
            return {"scope": error.scope}
        case BatchRejected():
            return {"results": error.results}
        case _:
            return {}


def _accepted(error: Exception) -> bool | str:
    """False when nothing was stored for sure, "unknown" when nobody can tell."""
    cause = error.cause if isinstance(error, BatchRejected) else error
    is_known = isinstance(cause, Rejected | StoreError) and not isinstance(cause, CommitUnknown)
    return False if is_known else "unknown"


def _clean(text: str) -> str:
    """Bounded text that any encoder takes, whatever bytes a caller had in its request."""
    return text[:DETAIL_MAX_CHARACTERS].encode("utf-8", "backslashreplace").decode("utf-8")
