"""The description says what the API does: by construction, and by a stranger who tries it all."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api.conftest import MakeEdge
from tests.api.edge import Edge
from tests.api.test_auth import token
from tirelessd.api.openapi import OPENAPI_PATH, description
from tirelessd.api.problems import CATALOGUE
from tirelessd.core.events import UnexpectedError

HERE = Path(__file__).parent
TOKEN = token("all", "submit", "read", "operate")
SCHEMATHESIS_SECONDS = 55.0
# Where no path or no method matched there is no operation to describe.
OUTSIDE_OPERATIONS = {"unknown_path", "method_not_allowed"}


@pytest.fixture
def document() -> dict[str, Any]:
    """The description of an API that asks for tokens."""
    return description(has_tokens=True)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every call."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def values_of(node: Any, name: str) -> Iterator[Any]:
    """Every value of that name, however deep."""
    if isinstance(node, dict):
        if name in node:
            yield node[name]
        for child in node.values():
            yield from values_of(child, name)
    if isinstance(node, list):
        for child in node:
            yield from values_of(child, name)


async def test_what_is_served_is_what_is_described(edge: Edge, document: dict[str, Any]) -> None:
    """Every route of the application is in the description, and no other."""
    served = {
        (getattr(route.resource, "described_as", route.resource.canonical), route.method)
        for route in edge.app.router.routes()
        if route.resource is not None and route.method not in {"HEAD", "*"}
    }

    described = {(path, method) for path, method, _ in operations(document)}

    assert served == described


async def test_description_is_served_as_json(edge: Edge) -> None:
    """To everybody, and true for this instance: it asks for no token, so none is described."""
    response = await edge.client.get(OPENAPI_PATH)

    assert response.status == 200
    assert response.content_type == "application/json"
    assert await response.read() == msgspec.json.encode(description(has_tokens=False))


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    """Every `$ref` names a schema of the document."""
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    references = set(values_of(document, "$ref"))

    assert references <= schemas
    assert references


def test_links_lead_to_operations(document: dict[str, Any]) -> None:
    """A link's operation is one of the document's, and takes the id."""
    names = {operation["operationId"] for _, _, operation in operations(document)}

    linked = {
        link["operationId"] for links in values_of(document, "links") for link in links.values()
    }

    assert linked <= names
    assert "get_item" in linked


def test_every_problem_is_described(document: dict[str, Any]) -> None:
    """Each code stands in the table, and with its status at the operations that can meet it."""
    described: dict[str, set[int]] = {}
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            for codes in values_of(answer, "enum"):
                for code in codes:
                    described.setdefault(code, set()).add(int(status))

    expected = {
        code: {kind.status} for code, kind in CATALOGUE.items() if code not in OUTSIDE_OPERATIONS
    }

    assert described == expected
    assert all(f"`{code}`" in document["info"]["description"] for code in CATALOGUE)


def test_refused_batches_tell_of_their_lines(document: dict[str, Any]) -> None:
    """Also where all of them met the same obstacle, which gives the answer its code and status."""
    shapes = {
        status: {
            reference.rpartition("/")[2]
            for reference in values_of(answer["content"]["application/problem+json"], "$ref")
        }
        for path, _, operation in operations(document)
        if path.endswith("/batch")
        for status, answer in operation["responses"].items()
        if status in ("400", "422", "503")
    }

    assert shapes == {
        "400": {"Problem"},
        "422": {"BatchProblem"},
        "503": {"BatchProblem", "Problem"},
    }


def test_every_operation_says_what_it_needs(document: dict[str, Any]) -> None:
    """Its scope, its path parameters, and a sentence."""
    for path, _, operation in operations(document):
        declared = {
            parameter["name"]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "path"
        }
        assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert operation["summary"]
        assert path == OPENAPI_PATH or operation["security"][0]["bearer"]


async def test_schemathesis_finds_nothing(make_edge: MakeEdge, tmp_path: Path) -> None:
    """Every call, with input the description allows and input it does not: all as described.

    A failure prints the seed and a command that repeats the call.
    """
    edge = await make_edge(tokens=[TOKEN])
    url = f"http://127.0.0.1:{edge.listener.port}{OPENAPI_PATH}"
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        url,
        cwd=tmp_path,
        env={"PYTHONPATH": str(HERE.parents[1]), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )

    try:
        async with asyncio.timeout(SCHEMATHESIS_SECONDS):
            report, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 0, report.decode()
    assert edge.house.recorder.of(UnexpectedError) == []
