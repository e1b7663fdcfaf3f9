"""Who may do what: tokens, scopes, queues, and what is said to everybody else."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.api.conftest import MakeEdge
from tests.api.edge import UNKNOWN_ID, Edge, Wire, head, post, problem_in
from tirelessd.api.auth import Auth, Caller, Scope, Token
from tirelessd.api.refusals import QueueNotAllowed
from tirelessd.api.routes import ROUTES, Route
from tirelessd.core.errors import GiveUp
from tirelessd.core.events import IntakeRequestFinished, ItemAccepted, ItemDied

ITEMS = "/v1/queues/work/items"
DEAD = "/v1/dead-letters"


def token(secret: str, *scopes: Scope, queues: frozenset[str] | None = None) -> Token:
    """A configured token."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return Token(secret, digest, frozenset(scopes), queues)


TOKENS = (
    token("all", "submit", "read", "operate"),
    token("submitter", "submit"),
    token("reader", "read"),
    token("operator", "operate"),
    token("clé", "read"),
    token("work-only", "submit", "read", "operate", queues=frozenset({"work"})),
)

SECRETS: dict[Scope, str] = {"submit": "submitter", "read": "reader", "operate": "operator"}
NO_TOKENS = [
    "Authorization:",
    "Authorization: Bearer",
    "Authorization: Bearer ",
    "Authorization: Bearer unknown",
    "Authorization: Bearer ALL",
    "Authorization: Bearer all all",
    "Authorization: Bearer all,",
    "Authorization: all",
    "Authorization: Basic YWxsOg==",
    "Authorization: Digest all",
    "Authorization: Bearer é",
    "Authorization: Bearer \udcff",
    "Authorization: Bearer cle\u0301",
    "Authorization: \udcff",
    f"Authorization: Bearer {'x' * 8_000}",
    "Proxy-Authorization: Bearer all",
    "Cookie: Authorization=Bearer all",
]


@pytest.fixture
async def guarded(make_edge: MakeEdge) -> Edge:
    """An API that asks for tokens."""
    return await make_edge(tokens=TOKENS)


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {secret}"}


def path_of(route: Route) -> str:
    """A path of the route that leads to something, or to nothing in particular."""
    return route.path.format(queue="work", id=UNKNOWN_ID)


def name_of(route: Route) -> str:
    """A route as a test's name."""
    return f"{route.method} {route.path}"


async def test_every_call_asks_for_a_token(guarded: Edge) -> None:
    """401 with a challenge, and nothing happens."""
    refused = {}

    for route in ROUTES:
        response = await guarded.client.request(route.method, path_of(route))
        challenge = response.headers["WWW-Authenticate"]
        refused[name_of(route)] = ((await problem_in(response))["code"], challenge)

    assert refused == dict.fromkeys(map(name_of, ROUTES), ("unauthenticated", "Bearer"))


@pytest.mark.parametrize("scope", SECRETS)
async def test_every_call_asks_for_its_scope(guarded: Edge, scope: Scope) -> None:
    """With another scope it is 403, naming the one that is missing; its own gets through."""
    missing: dict[str, str | None] = {}

    for route in ROUTES:
        response = await guarded.client.request(
            route.method, path_of(route), headers=bearer(SECRETS[scope])
        )
        document = await response.json(content_type=None)
        missing[name_of(route)] = document.get("scope")
        if response.status == 403:
            assert f'scope="{route.scope}"' in response.headers["WWW-Authenticate"]

    assert missing == {
        name_of(route): None if route.scope == scope else route.scope for route in ROUTES
    }


def test_scopes_are_those_of_the_design() -> None:
    """Submitting and cancelling are `submit`, changing queues and dead letters `operate`."""
    scopes = {
        (route.method, route.path.rpartition("/")[2] or route.path): route.scope
        for route in ROUTES
        if route.method != "GET"
    }

    assert {route.scope for route in ROUTES if route.method == "GET"} == {"read"}
    assert scopes == {
        ("POST", "items"): "submit",
        ("POST", "batch"): "submit",
        ("DELETE", "{id}"): "submit",
        ("POST", "pause"): "operate",
        ("POST", "resume"): "operate",
        ("POST", "redrive"): "operate",
        ("DELETE", "dead-letters"): "operate",
    }


async def test_description_is_open(guarded: Edge) -> None:
    """Who wants a token must be able to read what for."""
    response = await guarded.client.get("/openapi.json")

    assert response.status == 200


async def test_anything_but_a_known_token_is_refused(guarded: Edge) -> None:
    """401, whatever was sent instead; never a 5xx, and the text is repeated to nobody."""
    refused = {}
    wire = await guarded.connect()

    for field in NO_TOKENS:
        answer = await wire.send(post(b"x", field)).answer()
        refused[field] = (answer.status, answer.problem["code"])
        assert b"x" * 100 not in answer.body

    assert refused == dict.fromkeys(NO_TOKENS, (401, "unauthenticated"))
    assert guarded.house.recorder.of(ItemAccepted) == []
    wire.close()


@pytest.mark.parametrize(
    "fields",
    [
        ("Authorization: Bearer all", "Authorization: Bearer all"),
        ("Authorization: Bearer unknown", "Authorization: Bearer all"),
    ],
)
async def test_two_tokens_are_refused(guarded: Edge, fields: tuple[str, ...]) -> None:
    """Nobody has to guess which of the two was meant."""
    wire = await guarded.connect()

    answer = await wire.send(post(b"x", *fields)).answer()

    assert answer.status in {400, 401}
    assert guarded.house.recorder.of(ItemAccepted) == []
    wire.close()


async def test_token_of_a_megabyte_is_refused(guarded: Edge) -> None:
    """The header is longer than any may be, and is not kept."""
    wire = await guarded.connect()

    answer = await wire.send(post(b"x", f"Authorization: Bearer {'x' * 1_000_000}")).answer()

    assert (answer.status, answer.problem["code"]) == (400, "malformed_request")
    wire.close()


@pytest.mark.parametrize("text", ["Bearer all", "bearer all", "BEARER   all  "])
async def test_scheme_is_known_in_any_case(guarded: Edge, text: str) -> None:
    """HTTP says so (RFC 9110, 11.1)."""
    response = await guarded.client.get("/v1/queues", headers={"Authorization": text})

    assert response.status == 200


async def test_token_may_be_any_text(guarded: Edge) -> None:
    """A token is its bytes; those of UTF-8 are taken as they are."""
    wire = await guarded.connect()
    request = "GET /v1/queues HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer clé\r\n\r\n"

    answer = await wire.send(request.encode()).answer()

    assert answer.status == 200
    wire.close()


async def test_body_is_not_read_without_a_token(guarded: Edge) -> None:
    """401 is answered to the headers alone; a client that asked is not told to go on."""
    wire = await guarded.connect()

    answer = await wire.send(head("Content-Length: 1000", "Expect: 100-continue")).answer()

    assert answer.status == 401
    assert answer.headers["connection"] == "close"
    wire.close()


async def test_refused_callers_are_counted_as_such(guarded: Edge) -> None:
    """Both kinds of refusal are `unauthorized`."""
    await guarded.client.post(ITEMS, data=b"x")
    await guarded.client.post(ITEMS, data=b"x", headers=bearer("reader"))

    finished = guarded.house.recorder.of(IntakeRequestFinished)

    assert [(event.result, event.status) for event in finished] == [
        ("unauthorized", 401),
        ("unauthorized", 403),
    ]


def test_two_tokens_of_one_name_live_side_by_side() -> None:
    """One can replace the other without a gap."""
    auth = Auth([token("old", "read"), token("new", "read")])

    callers = [auth.identify(secret) for secret in (b"old", b"new")]

    assert callers == [Caller(frozenset({"read"}))] * 2


# --- queues ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/queues/other/items", None),
        ("POST", "/v1/queues/nowhere/items", None),
        ("POST", "/v1/queues/other/batch", None),
        ("GET", "/v1/queues/other", None),
        ("GET", "/v1/queues/other/items", None),
        ("POST", "/v1/queues/other/pause", None),
        ("POST", "/v1/queues/other/resume", None),
        ("GET", DEAD, None),
        ("GET", f"{DEAD}?reason=permanent", None),
        ("GET", f"{DEAD}?queue=other", None),
        ("DELETE", f"{DEAD}?all=true", None),
        ("DELETE", f"{DEAD}?queue=other", None),
        ("DELETE", f"{DEAD}?reason=permanent", None),
        ("POST", f"{DEAD}/redrive", {"all": True}),
        ("POST", f"{DEAD}/redrive", {"filter": {"queue": "other"}}),
        ("POST", f"{DEAD}/redrive", {"filter": {"reason": "permanent"}}),
    ],
)
async def test_limited_token_reaches_its_own_queues_only(
    guarded: Edge, method: str, path: str, body: Any
) -> None:
    """403, the same for a queue that exists and one that does not."""
    response = await guarded.client.request(method, path, json=body, headers=bearer("work-only"))

    assert (await problem_in(response))["code"] == "queue_not_allowed"


@pytest.fixture
async def dead_of_other(guarded: Edge) -> str:
    """The id of a dead letter of `other`."""
    guarded.house.handlers["other"].script(b"x", GiveUp("no"))
    response = await guarded.client.post("/v1/queues/other/items", data=b"x", headers=bearer("all"))
    await guarded.house.recorder.wait_for(ItemDied)
    return str((await response.json())["id"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/items/{id}"),
        ("GET", "/v1/items/{id}/payload"),
        ("GET", "/v1/items/{id}/result"),
        ("DELETE", "/v1/items/{id}"),
        ("DELETE", "/v1/dead-letters?ids={id}"),
    ],
)
async def test_limited_token_reaches_its_own_items_only(
    guarded: Edge, dead_of_other: str, method: str, path: str
) -> None:
    """An id is no key to another caller's queue."""
    response = await guarded.client.request(
        method, path.format(id=dead_of_other), headers=bearer("work-only")
    )

    assert (await problem_in(response))["code"] == "queue_not_allowed"


async def test_limited_token_redrives_its_own_items_only(guarded: Edge, dead_of_other: str) -> None:
    """One foreign id among many spoils the whole call; unknown ones are nobody's."""
    foreign = await guarded.client.post(
        f"{DEAD}/redrive", json={"ids": [UNKNOWN_ID, dead_of_other]}, headers=bearer("work-only")
    )
    unknown = await guarded.client.post(
        f"{DEAD}/redrive", json={"ids": [UNKNOWN_ID]}, headers=bearer("work-only")
    )

    assert (await problem_in(foreign))["code"] == "queue_not_allowed"
    assert await unknown.json() == {"count": 0, "remaining": 0}
    item = await guarded.client.get(f"/v1/items/{dead_of_other}", headers=bearer("all"))
    assert (await item.json())["state"] == "dead"


async def test_limited_token_sees_its_own_queues(guarded: Edge) -> None:
    """The list has them and no others, and all calls on them work."""
    headers = bearer("work-only")

    listed = await guarded.client.get("/v1/queues", headers=headers)
    accepted = await guarded.client.post(ITEMS, data=b"x", headers=headers)
    item = await guarded.client.get(accepted.headers["Location"], headers=headers)
    dead = await guarded.client.get(f"{DEAD}?queue=work", headers=headers)
    redriven = await guarded.client.post(
        f"{DEAD}/redrive", json={"filter": {"queue": "work"}}, headers=headers
    )

    assert [queue["name"] for queue in (await listed.json())["items"]] == ["work"]
    assert [answer.status for answer in (accepted, item, dead, redriven)] == [202, 200, 200, 200]


def test_caller_without_a_list_may_use_every_queue() -> None:
    """Only a list limits, and an empty one allows nothing."""
    everybody, nobody = Caller(), Caller(queues=frozenset())

    everybody.check_queue("work")
    with pytest.raises(QueueNotAllowed):
        nobody.check_queue("work")

    assert (everybody.is_limited, nobody.is_limited) == (False, True)


# --- without tokens ----------------------------------------------------------


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8080", ""])
async def test_web_page_cannot_submit_without_tokens(edge: Edge, origin: str) -> None:
    """A page in a browser on this machine reaches loopback too; it must not leave work there."""
    response = await edge.client.post(ITEMS, data=b"x", headers={"Origin": origin})

    assert (await problem_in(response))["code"] == "cross_origin"
    assert edge.house.recorder.of(ItemAccepted) == []


async def test_web_page_with_a_token_is_a_caller(guarded: Edge) -> None:
    """A token is never sent by accident."""
    response = await guarded.client.post(
        ITEMS, data=b"x", headers={**bearer("all"), "Origin": "https://shop.example"}
    )

    assert response.status == 202


async def test_token_is_not_asked_for_where_there_is_none(edge: Edge, wire: Wire) -> None:
    """Without tokens configured everybody is let in, with or without one."""
    response = await edge.client.get("/v1/queues", headers=bearer("anything"))
    odd = await wire.send(post(b"x", "Authorization: \udcff")).answer()

    assert (response.status, odd.status) == (200, 202)
