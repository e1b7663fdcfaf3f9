"""The OpenAPI 3.1 description, made from the routes, the shapes and the problem catalogue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import msgspec

import tirelessd
from tirelessd.api.options import HEADER_OPTIONS
from tirelessd.api.problems import CATALOGUE, MEDIA_TYPE
from tirelessd.api.query import QUEUE_PATTERN
from tirelessd.api.routes import PROBLEMS_OF_ALL, ROUTES, Route
from tirelessd.api.shapes import BatchProblem, Problem
from tirelessd.core.errors import Draining, QueueFull, StoreError

OPENAPI_PATH: Final = "/openapi.json"
REF: Final = "#/components/schemas/{name}"

PATH_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "queue": {
        "description": "A configured queue.",
        "schema": {"type": "string", "pattern": QUEUE_PATTERN},
    },
    "id": {
        "description": "The id that the submission was answered with.",
        "schema": {"type": "string", "format": "uuid"},
    },
}
TRACE_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "traceparent": {
        "description": "W3C trace context, kept with the item; ignored when malformed.",
        "schema": {"type": "string"},
    },
    "tracestate": {
        "description": "W3C trace context, kept if `traceparent` is.",
        "schema": {"type": "string"},
    },
}
RESPONSE_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Location": {"description": "The item's path.", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "Set when nothing new was stored, because the key came before.",
        "schema": {"const": "true"},
    },
    "Retry-After": {
        "description": "When to come again, in seconds, from the rate at which items end.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "What is missing.", "schema": {"type": "string"}},
}
# 405 has a header of its own too, but no operation is described that a wrong method could reach.
# A batch whose lines were all refused has the code of what they have in common.
BATCH_CAUSES: Final = {StoreError.code, QueueFull.code, Draining.code}
HEADERS_OF_STATUS: Final = {401: "WWW-Authenticate", 503: "Retry-After"}


def description(*, has_tokens: bool) -> dict[str, Any]:
    """The whole document; without tokens configured it asks for none."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    schemas = _schemas()
    for route in ROUTES:
        paths[route.path][route.method.lower()] = _operation(route, schemas, has_tokens=has_tokens)
    paths[OPENAPI_PATH]["get"] = _own_operation()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tirelessd",
            "version": tirelessd.__version__,
            "description": _introduction(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _introduction() -> str:
    rows = (f"| `{code}` | {kind.status} | {kind.title} |" for code, kind in CATALOGUE.items())
    return "\n".join(
        (
            "Hand it work over HTTP; it keeps at it until the work is done, or tells you why not.",
            "",
            "Every error is a problem document (RFC 9457) with a stable `code`:",
            "",
            "| code | status | meaning |",
            "| --- | --- | --- |",
            *rows,
        )
    )


def _schemas() -> dict[str, Any]:
    """Every shape that a route mentions, by name."""
    shapes: list[Any] = [Problem, BatchProblem]
    for route in ROUTES:
        shapes.append(route.query)
        if route.body is not None and route.body.shape is not None:
            shapes.append(route.body.shape)
        if route.reply.shape is not None:
            shapes.append(route.reply.shape)
    _, schemas = msgspec.json.schema_components(shapes, ref_template=REF)
    return schemas


def _operation(route: Route, schemas: dict[str, Any], *, has_tokens: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handle.__name__,
        "summary": route.summary,
        "description": f"{route.description}\n\nScope: `{route.scope}`.".strip(),
        "parameters": [*_parameters(route, schemas)],
        "responses": {str(route.reply.status): _reply(route), **_problems(route)},
    }
    if has_tokens:
        operation["security"] = [{"bearer": [route.scope]}]
    if route.body is not None:
        schema = _body_schema(route)
        operation["requestBody"] = {
            "description": route.body.description,
            "required": route.body.is_required,
            "content": dict.fromkeys(route.body.media_types, schema),
        }
    return operation


def _parameters(route: Route, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, said in PATH_PARAMETERS.items():
        if f"{{{name}}}" in route.path:
            yield {"name": name, "in": "path", "required": True, **said}
    query = schemas[route.query.__name__]
    for name, schema in query["properties"].items():
        yield {"name": name, "in": "query", "schema": schema}
    for name in route.headers:
        said = TRACE_PARAMETERS.get(name) or {"schema": _option_schema(name)}
        yield {"name": name, "in": "header", **said}


def _option_schema(name: str) -> dict[str, Any]:
    _, shape = HEADER_OPTIONS[name]
    return msgspec.json.schema(shape)


def _body_schema(route: Route) -> dict[str, Any]:
    assert route.body is not None
    if route.body.shape is None:
        return {}
    # Since OpenAPI 3.1 keywords may stand beside a reference, and add to what it says.
    reference = {"$ref": REF.format(name=route.body.shape.__name__), **route.body.rules}
    if route.body.is_lines:
        return {"schema": {"type": "array", "items": reference, "minItems": 1}}
    return {"schema": reference}


def _reply(route: Route) -> dict[str, Any]:
    reply = route.reply
    # Bytes go out under the type they were stored with, which may be any.
    content: dict[str, Any] = (
        {"*/*": {}}
        if reply.shape is None
        else {"application/json": {"schema": {"$ref": REF.format(name=reply.shape.__name__)}}}
    )
    said: dict[str, Any] = {"description": reply.description, "content": content}
    if reply.headers:
        said["headers"] = {name: RESPONSE_HEADERS[name] for name in reply.headers}
    if reply.links:
        said["links"] = {
            name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
            for name in reply.links
        }
    return said


def _problems(route: Route) -> dict[str, Any]:
    codes: dict[int, list[str]] = defaultdict(list)
    for code in (*PROBLEMS_OF_ALL, *route.problems):
        codes[CATALOGUE[code].status].append(code)
    is_batch = "batch_rejected" in route.problems
    return {
        str(status): _problem(status, codes[status], is_batch=is_batch) for status in sorted(codes)
    }


def _problem(status: int, codes: list[str], *, is_batch: bool) -> dict[str, Any]:
    schema = {
        **_problem_shape(codes, is_batch=is_batch),
        "properties": {"code": {"enum": codes}, "status": {"const": status}},
    }
    answer = {
        "description": "; ".join(f"{CATALOGUE[code].title} (`{code}`)" for code in codes),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if status in HEADERS_OF_STATUS:
        name = HEADERS_OF_STATUS[status]
        answer["headers"] = {name: RESPONSE_HEADERS[name]}
    return answer


def _problem_shape(codes: list[str], *, is_batch: bool) -> dict[str, Any]:
    if "batch_rejected" in codes:
        return {"$ref": REF.format(name=BatchProblem.__name__)}
    problem = {"$ref": REF.format(name=Problem.__name__)}
    if is_batch and BATCH_CAUSES.intersection(codes):
        # Refused before its lines were looked at, or each of them for one and the same reason.
        return {"anyOf": [{"$ref": REF.format(name=BatchProblem.__name__)}, problem]}
    return problem


def _own_operation() -> dict[str, Any]:
    return {
        "operationId": "get_openapi",
        "summary": "Fetch this description",
        "security": [],
        "responses": {
            "200": {
                "description": "This description.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }
