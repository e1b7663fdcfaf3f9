"""The catalogue of problems: every code can be met, and means what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import msgspec
import pytest
from aiohttp import ClientResponse

from tests.api.conftest import LIMITS, OTHER, WORK, MakeEdge
from tests.api.edge import UNKNOWN_ID, Edge, Wire, chunked, head, problem_in
from tests.api.failing import failing
from tests.engine.script import Gate
from tirelessd.api.auth import Token
from tirelessd.api.limits import Limits
from tirelessd.api.problems import CATALOGUE, Kind, problem_of
from tirelessd.api.refusals import BatchRejected
from tirelessd.core.errors import (
    CommitUnknown,
    InvalidRequest,
    Rejected,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from tirelessd.core.events import IntakeRequestFinished, IntakeResult, UnexpectedError

ITEMS = "/v1/queues/work/items"
BATCH = "/v1/queues/work/batch"
NDJSON = {"Content-Type": "application/x-ndjson"}
TOKEN = Token("r", hashlib.sha256(b"r").hexdigest(), frozenset({"read"}), frozenset({"work"}))
BEARER = {"Authorization": "Bearer r"}


class Stage:
    """Everything that a code may need to be met."""

    def __init__(self, make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch) -> None:
        self._make_edge = make_edge
        self._monkeypatch = monkeypatch
        self.edge: Edge

    async def open(
        self, *tokens: Token, capacity_items: int = 100, limits: Limits = LIMITS
    ) -> Edge:
        """An API with paused queues."""
        work = msgspec.structs.replace(WORK, capacity_items=capacity_items)
        self.edge = await self._make_edge(work, OTHER, tokens=tokens, limits=limits)
        return await self.edge.pause()

    async def open_failing(self, verb: str, error: Exception) -> Edge:
        """The same on a store of which one verb fails."""
        edge = await self.open()
        failing(self._monkeypatch, edge.house, verb, error)
        return edge


Meet = Callable[[Stage], Awaitable[ClientResponse]]


def call(method: str, path: str, *tokens: Token, **named: Any) -> Meet:
    """Meet a code by one request."""

    async def meet(stage: Stage) -> ClientResponse:
        edge = await stage.open(*tokens)
        return await edge.client.request(method, path, **named)

    return meet


def call_with_item(method: str, path: str, **named: Any) -> Meet:
    """Meet a code by a request about an item that was cancelled."""

    async def meet(stage: Stage) -> ClientResponse:
        edge = await stage.open()
        receipt = await edge.submit(Idempotency_Key="k")
        if "{cancelled}" in path:
            await edge.client.delete(f"/v1/items/{receipt['id']}")
        full = path.format(id=receipt["id"], cancelled=receipt["id"])
        return await edge.client.request(method, full, **named)

    return meet


def submit_failing(error: Exception) -> Meet:
    """Meet a code by a submission that the store fails."""

    async def meet(stage: Stage) -> ClientResponse:
        edge = await stage.open_failing("enqueue", error)
        return await edge.client.post(ITEMS, data=b"x")

    return meet


async def meet_full_queue(stage: Stage) -> ClientResponse:
    """One item more than fits."""
    edge = await stage.open(capacity_items=1)
    await edge.submit()
    return await edge.client.post(ITEMS, data=b"x")


async def meet_drain(stage: Stage) -> ClientResponse:
    """A submission after the end of the pre-drain."""
    edge = await stage.open()
    edge.house.engine.intake.close()
    return await edge.client.post(ITEMS, data=b"x")


async def meet_running_item(stage: Stage) -> ClientResponse:
    """A cancellation too late."""
    edge = await stage.open()
    gate = Gate()
    edge.house.handlers["work"].script(b"x", gate)
    receipt = await edge.submit(b"x")
    await edge.client.post("/v1/queues/work/resume")
    await gate.reached.wait()
    return await edge.client.delete(f"/v1/items/{receipt['id']}")


async def meet_slow_body(stage: Stage) -> ClientResponse:
    """A body that never comes to its end."""
    edge = await stage.open(limits=msgspec.structs.replace(LIMITS, body_seconds=0.05))

    async def first_byte() -> Any:
        yield b"x"
        await edge.house.recorder.wait_for(IntakeRequestFinished)

    return await edge.client.post(ITEMS, data=first_byte())


async def meet_full_memory(stage: Stage) -> ClientResponse:
    """A body for which there is no room."""
    edge = await stage.open(limits=msgspec.structs.replace(LIMITS, held_bytes=10))
    return await edge.client.post(ITEMS, data=b"x" * 11)


MEETINGS: dict[str, Meet] = {
    "invalid_request": call("POST", ITEMS, headers={"Tirelessd-Delay": "x"}),
    "malformed_request": call("POST", ITEMS, headers={"Transfer-Encoding": "chunked, chunked"}),
    "unauthenticated": call("GET", "/v1/queues", TOKEN),
    "missing_scope": call("POST", ITEMS, TOKEN, headers=BEARER),
    "queue_not_allowed": call("GET", "/v1/queues/other", TOKEN, headers=BEARER),
    "cross_origin": call("POST", ITEMS, headers={"Origin": "https://a.example"}),
    "unknown_path": call("GET", "/v1/queue"),
    "unknown_queue": call("POST", "/v1/queues/nowhere/items"),
    "unknown_item": call("GET", f"/v1/items/{UNKNOWN_ID}"),
    "no_result": call_with_item("GET", "/v1/items/{cancelled}/result"),
    "method_not_allowed": call("PUT", ITEMS),
    "request_timeout": meet_slow_body,
    "not_cancellable": meet_running_item,
    "not_finished": call_with_item("GET", "/v1/items/{id}/result"),
    "body_too_large": call("POST", ITEMS, data=b"x" * (LIMITS.body_bytes + 1)),
    "batch_too_large": call("POST", BATCH, data=b"\n" * 3_001, headers=NDJSON),
    "unsupported_media_type": call("POST", BATCH, data=b"{}"),
    "unsupported_content_encoding": call("POST", ITEMS, headers={"Content-Encoding": "br"}),
    "expectation_failed": call("POST", ITEMS, data=b"x", headers={"Expect": "the-unexpected"}),
    "idempotency_key_reused": call_with_item(
        "POST", ITEMS, data=b"other", headers={"Idempotency-Key": "k"}
    ),
    "batch_rejected": call("POST", BATCH, data=b"x", headers=NDJSON),
    "internal_error": submit_failing(RuntimeError("a defect")),
    "overloaded": meet_full_memory,
    "queue_full": meet_full_queue,
    "draining": meet_drain,
    "store_unavailable": submit_failing(StoreUnavailable("/secret is gone", "connection")),
    "store_full": submit_failing(StoreFull("/secret is full")),
}


def is_refusal(event: IntakeRequestFinished) -> bool:
    """Whether a submission was refused; some meetings need one that is accepted first."""
    return event.result != "accepted"


@pytest.fixture
def stage(make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage that is not set yet."""
    return Stage(make_edge, monkeypatch)


def test_every_code_has_a_meeting() -> None:
    """No code stands in the catalogue that nobody can meet."""
    assert MEETINGS.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("code", CATALOGUE)
async def test_code_is_met_as_the_catalogue_says(stage: Stage, code: str) -> None:
    """Status, title and the word for metrics are its, and what passes says when to come again."""
    response = await MEETINGS[code](stage)

    problem = await problem_in(response)
    kind = CATALOGUE[code]
    assert (problem["code"], response.status, problem["title"]) == (code, kind.status, kind.title)
    assert ("Retry-After" in response.headers) == (response.status == 503)
    assert (problem.get("accepted") is not None) == (response.status >= 500)
    assert response.headers["Server"] == "tirelessd"
    for event in stage.edge.house.recorder.of(IntakeRequestFinished, is_refusal):
        assert (event.result, event.status) == (kind.result, kind.status)


@pytest.mark.parametrize(
    ("error", "accepted"),
    [
        (StoreUnavailable("gone"), False),
        (StoreFull("full"), False),
        (CommitUnknown("cut off"), "unknown"),
        (RuntimeError("a defect"), "unknown"),
    ],
)
async def test_failed_submission_says_what_became_of_it(
    stage: Stage, error: Exception, accepted: object
) -> None:
    """False only when nothing was stored for sure."""
    response = await submit_failing(error)(stage)

    assert (await problem_in(response))["accepted"] == accepted


async def test_failed_read_says_nothing_of_acceptance(stage: Stage) -> None:
    """Nobody asked for anything to be accepted."""
    edge = await stage.open_failing("get", StoreUnavailable("gone"))

    response = await edge.client.get(f"/v1/items/{UNKNOWN_ID}")

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (503, "store_unavailable")
    assert response.headers["Retry-After"] == "1"
    assert "accepted" not in problem


async def test_defect_is_told_to_the_log_and_hidden_from_the_caller(stage: Stage) -> None:
    """The answer and the event have the request's id in common, and nothing of the error."""
    edge = await stage.open_failing("get", RuntimeError("secret detail"))

    response = await edge.client.get(f"/v1/items/{UNKNOWN_ID}")

    problem = await problem_in(response)
    (event,) = edge.house.recorder.of(UnexpectedError)
    assert (response.status, problem["code"]) == (500, "internal_error")
    assert problem["request_id"] in event.where
    assert "secret" not in await response.text()


async def test_stores_own_words_stay_inside(stage: Stage) -> None:
    """They may name paths and hosts: callers get the code."""
    for code in ("store_unavailable", "store_full"):
        response = await MEETINGS[code](stage)

        assert "secret" not in await response.text()


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/queues/", f"{ITEMS}/", "//", "/%2e"])
async def test_unknown_path_is_a_problem_too(edge: Edge, path: str) -> None:
    """Under every method."""
    for method in ("GET", "POST", "OPTIONS", "TRACE"):
        response = await edge.client.request(method, path)

        assert (await problem_in(response))["code"] == "unknown_path"


@pytest.mark.parametrize("path", ["/v1/queues/%ff", "/v1/items/%80", "/%c0%af", "/v1/queues/%ff/x"])
async def test_path_that_is_no_text_is_refused(wire: Wire, path: str) -> None:
    """A path that is not UTF-8 is malformed, not unknown."""
    answer = await wire.send(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()).answer()

    assert (answer.status, answer.problem["field"]) == (400, "path")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/queues", "GET, HEAD"),
        (ITEMS, "GET, HEAD, POST"),
        (BATCH, "POST"),
        (f"/v1/items/{UNKNOWN_ID}", "DELETE, GET, HEAD"),
        ("/v1/dead-letters", "DELETE, GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_told_what_is_served(
    edge: Edge, method: str, path: str, allow: str
) -> None:
    """405 with `Allow`."""
    response = await edge.client.request(method, path)

    assert (await problem_in(response))["code"] == "method_not_allowed"
    assert response.headers["Allow"] == allow


async def test_head_is_get_without_the_body(idle: Edge) -> None:
    """Same status, same type, same length."""
    receipt = await idle.submit(b"12345")

    response = await idle.client.head(f"/v1/items/{receipt['id']}/payload")

    assert (response.status, response.headers["Content-Length"]) == (200, "5")
    assert await response.read() == b""


def test_detail_is_bounded_and_encodable() -> None:
    """Whatever bytes a caller had in its request, the answer is JSON of a reasonable size."""
    problem = problem_of(InvalidRequest("\udcff", "\x00\ud800" * 1_000))

    encoded = msgspec.json.encode(problem)

    assert len(encoded) < 10_000
    assert msgspec.json.decode(encoded)["field"] == "\\udcff"


def leaves(root: type[Exception]) -> list[type[Exception]]:
    """Every class below a root."""
    return [each for child in root.__subclasses__() for each in (child, *leaves(child))]


def test_every_refusal_is_in_the_catalogue() -> None:
    """No error of the tree is without a status."""
    codes = {error.__dict__["code"] for error in leaves(Rejected) if "code" in error.__dict__}
    codes |= {error.__dict__["code"] for error in leaves(StoreError) if "code" in error.__dict__}
    edge_own = {"internal_error", "store_unavailable"}

    assert codes | edge_own == CATALOGUE.keys()


def test_batch_without_a_cause_is_its_callers_fault() -> None:
    """422 for bad lines; the cause's own status when the lines were good."""
    own_fault = problem_of(BatchRejected([]), is_submit=True)
    ours = problem_of(BatchRejected([], CommitUnknown("cut off")), is_submit=True)

    assert (own_fault.status, ours.status) == (422, 503)
    assert ours.accepted == "unknown"


def test_statuses_are_errors() -> None:
    """And every kind is counted as a word that means a refusal."""
    kinds: list[Kind] = list(CATALOGUE.values())

    assert all(400 <= kind.status < 600 for kind in kinds)
    assert {kind.result for kind in kinds} == {*get_args(IntakeResult)} - {"accepted", "duplicate"}


async def test_broken_chunks_end_the_connection(wire: Wire) -> None:
    """Nobody knows where such a body ends."""
    wire.send(head("Transfer-Encoding: chunked"), chunked(b"abc"), b"no size\r\n")

    answer = await wire.answer()

    assert (answer.status, answer.problem["code"]) == (400, "malformed_request")
    assert await wire.is_closed()
