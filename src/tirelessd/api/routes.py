"""Every call of the API, once: what serves it, who may make it, and what is said of it.

The application and the OpenAPI description are both made from this table, so that neither can
know a call that the other does not.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tirelessd.api import batch, dead_letters, items, queues, shapes, submit
from tirelessd.api.auth import Scope
from tirelessd.api.body import JSON_TYPE
from tirelessd.api.options import HEADER_OPTIONS, BatchLine
from tirelessd.api.query import DeadLettersQuery, ItemsQuery, NoQuery, PurgeQuery
from tirelessd.api.services import Handle

ITEM_PATH: Final = "/v1/items/{id}"
QUEUE_PATH: Final = "/v1/queues/{queue}"


class RequestBody(msgspec.Struct, frozen=True):
    """A request's body: `shape` None stands for bytes that nobody looks into.

    `rules` are JSON Schema keywords for what the shape's types cannot say. With `is_lines` the body
    is a sequence of that shape, one a line.
    """

    media_types: tuple[str, ...]
    shape: Any = None
    description: str = ""
    rules: dict[str, Any] = {}
    is_required: bool = False
    is_lines: bool = False


class Reply(msgspec.Struct, frozen=True):
    """The answer when all is well: `shape` None stands for bytes as they were stored.

    `links` are the calls, by the names of their handlers, that take the `id` in the answer.
    """

    status: int
    description: str
    shape: Any = None
    headers: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `problems` are the codes it can answer with beyond `PROBLEMS_OF_ALL`."""

    method: str
    path: str
    handle: Handle
    scope: Scope
    summary: str
    reply: Reply
    problems: tuple[str, ...] = ()
    description: str = ""
    query: type[msgspec.Struct] = NoQuery
    headers: tuple[str, ...] = ()
    body: RequestBody | None = None
    is_submit: bool = False


# Reads can meet the last two as well: the store may fail whoever asks.
PROBLEMS_OF_ALL: Final = (
    "invalid_request",
    "malformed_request",
    "unauthenticated",
    "missing_scope",
    "queue_not_allowed",
    "internal_error",
    "store_unavailable",
)
# Every call that reads a body can meet these, whatever it reads it for.
_BODY_PROBLEMS: Final = (
    "cross_origin",
    "request_timeout",
    "body_too_large",
    "overloaded",
    "unsupported_content_encoding",
    "expectation_failed",
)
_SUBMIT_PROBLEMS: Final = (
    *_BODY_PROBLEMS,
    "unknown_queue",
    "queue_full",
    "draining",
    "store_full",
)
_TRACE_HEADERS: Final = ("traceparent", "tracestate")

_PAUSE_BODY: Final = RequestBody((JSON_TYPE,), queues.PauseRequest)
_RESUME_BODY: Final = RequestBody((JSON_TYPE,), queues.ResumeRequest)
_REDRIVE_BODY: Final = RequestBody(
    (JSON_TYPE,),
    dead_letters.RedriveRequest,
    rules={
        "oneOf": [
            {"required": ["ids"], "properties": {"filter": False, "all": {"const": False}}},
            {"required": ["filter"], "properties": {"ids": False, "all": {"const": False}}},
            {
                "required": ["all"],
                "properties": {"ids": False, "filter": False, "all": {"const": True}},
            },
        ],
    },
    is_required=True,
)

ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path=f"{QUEUE_PATH}/items",
        handle=submit.submit_item,
        scope="submit",
        summary="Submit an item",
        description="The body is the payload, kept byte for byte whatever its type. Once this is "
        "answered 202 the item is durable.",
        headers=(*HEADER_OPTIONS, *_TRACE_HEADERS),
        body=RequestBody(
            ("application/octet-stream", "application/json", "text/plain"),
            description="Any bytes under any content type; none at all is a payload too.",
        ),
        reply=Reply(
            202,
            "Stored durably, or stored before under the same idempotency key.",
            shapes.Receipt,
            ("Location", "Idempotency-Replayed"),
            ("get_item", "get_payload", "get_result", "cancel_item"),
        ),
        problems=(*_SUBMIT_PROBLEMS, "idempotency_key_reused"),
        is_submit=True,
    ),
    Route(
        method="POST",
        path=f"{QUEUE_PATH}/batch",
        handle=batch.submit_batch,
        scope="submit",
        summary="Submit many items",
        description="NDJSON, one object a line; blank lines are skipped and counted. A line's "
        "payload is kept as the bytes that stand there. Sizes are checked before anything is "
        "stored; a bad line costs only itself.",
        headers=_TRACE_HEADERS,
        body=RequestBody((batch.BATCH_TYPE,), BatchLine, is_required=True, is_lines=True),
        reply=Reply(
            202,
            "At least one line was accepted; what became of each.",
            shapes.BatchReceipt,
            ("Idempotency-Replayed",),
        ),
        problems=(
            *_SUBMIT_PROBLEMS,
            "batch_too_large",
            "batch_rejected",
            "unsupported_media_type",
        ),
        is_submit=True,
    ),
    Route(
        method="GET",
        path=ITEM_PATH,
        handle=items.get_item,
        scope="read",
        summary="Look at an item",
        reply=Reply(200, "The item, with every failed attempt.", shapes.ItemDetail),
        problems=("unknown_item",),
    ),
    Route(
        method="DELETE",
        path=ITEM_PATH,
        handle=items.cancel_item,
        scope="submit",
        summary="Cancel a queued item",
        description="Cancelling a cancelled item again changes nothing and is no error.",
        reply=Reply(200, "The cancelled item.", shapes.ItemDetail),
        problems=("unknown_item", "not_cancellable", "cross_origin", "store_full"),
    ),
    Route(
        method="GET",
        path=f"{ITEM_PATH}/payload",
        handle=items.get_payload,
        scope="read",
        summary="Fetch an item's payload",
        reply=Reply(200, "The payload, byte for byte, under its own content type."),
        problems=("unknown_item",),
    ),
    Route(
        method="GET",
        path=f"{ITEM_PATH}/result",
        handle=items.get_result,
        scope="read",
        summary="Fetch what the handler answered",
        reply=Reply(200, "The result, under its own content type."),
        problems=("unknown_item", "not_finished", "no_result"),
    ),
    Route(
        method="GET",
        path="/v1/queues",
        handle=queues.list_queues,
        scope="read",
        summary="Look at all queues",
        reply=Reply(200, "The queues that the caller may use.", shapes.QueueList),
    ),
    Route(
        method="GET",
        path=QUEUE_PATH,
        handle=queues.get_queue,
        scope="read",
        summary="Look at a queue",
        reply=Reply(200, "The queue.", shapes.QueueDetail),
        problems=("unknown_queue",),
    ),
    Route(
        method="GET",
        path=f"{QUEUE_PATH}/items",
        handle=queues.list_items,
        scope="read",
        summary="List a queue's items",
        description="In the order of acceptance, without histories.",
        query=ItemsQuery,
        reply=Reply(200, "A page of items.", shapes.ItemList),
        problems=("unknown_queue",),
    ),
    Route(
        method="POST",
        path=f"{QUEUE_PATH}/pause",
        handle=queues.pause_queue,
        scope="operate",
        summary="Pause a queue",
        description="No further attempts start; running ones finish, intake goes on. A pause is "
        "stored: it survives restarts and reaches every process.",
        body=_PAUSE_BODY,
        reply=Reply(200, "The paused queue.", shapes.QueueDetail),
        problems=(*_BODY_PROBLEMS, "unknown_queue", "unsupported_media_type", "store_full"),
    ),
    Route(
        method="POST",
        path=f"{QUEUE_PATH}/resume",
        handle=queues.resume_queue,
        scope="operate",
        summary="Resume a queue",
        body=_RESUME_BODY,
        reply=Reply(200, "The queue.", shapes.QueueDetail),
        problems=(*_BODY_PROBLEMS, "unknown_queue", "unsupported_media_type", "store_full"),
    ),
    Route(
        method="GET",
        path="/v1/dead-letters",
        handle=dead_letters.list_dead_letters,
        scope="read",
        summary="List dead letters",
        description="In the order of their death. A token limited to some queues names one.",
        query=DeadLettersQuery,
        reply=Reply(200, "A page of items.", shapes.ItemList),
    ),
    Route(
        method="POST",
        path="/v1/dead-letters/redrive",
        handle=dead_letters.redrive,
        scope="operate",
        summary="Put dead letters back",
        description="At most 1000 a call; repeat while `remaining` is not 0. Attempts and deadline "
        "start anew; key, priority and history stay.",
        headers=_TRACE_HEADERS,
        body=_REDRIVE_BODY,
        reply=Reply(200, "How many were put back, and how many are left.", shapes.ChangedCount),
        problems=(*_BODY_PROBLEMS, "unsupported_media_type", "store_full"),
    ),
    Route(
        method="DELETE",
        path="/v1/dead-letters",
        handle=dead_letters.purge,
        scope="operate",
        summary="Delete dead letters",
        description="Needs exactly one of: `ids`; `queue`, `reason` or both; `all=true`. At most "
        "1000 a call; of `ids` some two hundred fit into the request line.",
        query=PurgeQuery,
        reply=Reply(200, "How many were deleted, and how many are left.", shapes.ChangedCount),
        problems=("cross_origin", "store_full"),
    ),
)
