"""C6: who is not known is told so before a body is read, and no token is written anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import pytest

from tests.faults.experiment import Experiment
from tests.faults.stranger import Heard, port_of, request, say
from tests.faults.watch import MIB

pytestmark = pytest.mark.unhurried

MARK = "PLANTED"
SUBMIT, READ, OPERATE, OTHER = (f"{MARK}-{name}-0123456789abcdef" for name in "sroq")
ODD = "tökén"


def token(text: str, *scopes: str, queues: Sequence[str] | None = None) -> dict[str, Any]:
    """A token as the configuration knows it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    named = {"name": f"t{digest[:8]}", "sha256": digest, "scopes": list(scopes)}
    return named if queues is None else {**named, "queues": list(queues)}


TOKENS = [
    token(SUBMIT, "submit"),
    token(READ, "read"),
    token(OPERATE, "operate"),
    token(OTHER, "submit", "read", "operate", queues=["other"]),
    token(ODD, "submit"),
]
QUEUES = {name: {"handler": {"type": "echo"}} for name in ("work", "other")}
BEARER = "Authorization: Bearer "

CASES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "known": (202, (BEARER + SUBMIT,)),
    "small letters": (202, (f"authorization: bearer {SUBMIT}",)),
    "capital letters": (202, (f"AUTHORIZATION: BEARER {SUBMIT}",)),
    "more spaces": (202, (f"Authorization:  Bearer   {SUBMIT}  ",)),
    "known, of odd letters": (202, (BEARER + ODD,)),
    "none": (401, ()),
    "empty": (401, ("Authorization:",)),
    "unknown": (401, (BEARER + f"{MARK}-nobody",)),
    "too short": (401, (BEARER + SUBMIT[:-1],)),
    "too long": (401, (BEARER + SUBMIT + "x",)),
    "other case": (401, (BEARER + SUBMIT.lower(),)),
    "its digest": (401, (BEARER + hashlib.sha256(SUBMIT.encode()).hexdigest(),)),
    "in quotes": (401, (f'{BEARER}"{SUBMIT}"',)),
    "after another space": (401, (f"{BEARER}\u2003{SUBMIT}",)),
    "before another space": (401, (f"{BEARER}{SUBMIT}\u00a0",)),
    "tab for a space": (401, (f"Authorization: Bearer\t{SUBMIT}",)),
    "Basic": (401, (f"Authorization: Basic {SUBMIT}",)),
    "no scheme": (401, (f"Authorization: {SUBMIT}",)),
    "no token": (401, ("Authorization: Bearer",)),
    "twice": (401, (BEARER + SUBMIT, BEARER + SUBMIT)),
    "two": (401, (BEARER + SUBMIT, BEARER + READ)),
    "two in a list": (401, (f"{BEARER}{SUBMIT}, Bearer {SUBMIT}",)),
    "in another header": (401, (f"Proxy-Authorization: Bearer {SUBMIT}", f"Cookie: t={SUBMIT}")),
    "not ASCII": (401, (BEARER + "é",)),
    "no UTF-8": (401, (BEARER + "\udcff\udcfe",)),
    "owl": (401, (BEARER + "🦉",)),
    "8 kB": (401, (BEARER + MARK + "a" * 8_000,)),
    "1 MB": (400, (BEARER + MARK + "a" * 1_000_000,)),
    "NUL": (400, (BEARER + SUBMIT + "\0",)),
    "wrong scope": (403, (BEARER + READ,)),
    "another wrong scope": (403, (BEARER + OPERATE,)),
    "wrong queue": (403, (BEARER + OTHER,)),
}
CALLS: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/queues/work/items"): SUBMIT,
    ("POST", "/v1/queues/work/batch"): SUBMIT,
    ("DELETE", "/v1/items/x"): SUBMIT,
    ("GET", "/v1/items/x"): READ,
    ("GET", "/v1/items/x/payload"): READ,
    ("GET", "/v1/items/x/result"): READ,
    ("GET", "/v1/queues"): READ,
    ("HEAD", "/v1/queues"): READ,
    ("GET", "/v1/queues/work"): READ,
    ("GET", "/v1/queues/work/items"): READ,
    ("GET", "/v1/dead-letters"): READ,
    ("POST", "/v1/queues/work/pause"): OPERATE,
    ("POST", "/v1/queues/work/resume"): OPERATE,
    ("POST", "/v1/dead-letters/redrive"): OPERATE,
    ("DELETE", "/v1/dead-letters"): OPERATE,
}


async def everything_said(experiment: Experiment, heard: Sequence[Heard]) -> str:
    """All that anybody could read: the log, the answers, and what the ops listener shows."""
    daemon = experiment.daemon
    async with aiohttp.ClientSession() as session:
        pages = []
        for path in ("/metrics", "/statusz", "/scalez", "/readyz", "/livez"):
            async with session.get(daemon.urls["ops"] + path) as response:
                pages.append(await response.text())
    answers = [each.raw.decode("utf-8", "replace") for each in heard]
    return "\n".join([*map(str, daemon.lines), *daemon.stray_output, *pages, *answers])


@pytest.mark.row("C6")
async def test_tokens_are_judged_by_their_bytes(experiment: Experiment) -> None:
    """Each form of header has its 202, 400, 401 or 403; none shows up anywhere, none is a 5xx."""
    daemon = await experiment.start(auth={"tokens": TOKENS}, queues=QUEUES, log={"level": "debug"})
    port = port_of(daemon.urls["api"])

    heard = {name: await say(port, request(b"hi", *fields)) for name, (_, fields) in CASES.items()}

    wanted = {name: [status] for name, (status, _) in CASES.items()}
    assert {name: each.statuses for name, each in heard.items()} == wanted
    challenged = [each.raw for name, each in heard.items() if wanted[name] == [401]]
    assert all(b"\r\nWWW-Authenticate: Bearer" in raw for raw in challenged)
    said = await everything_said(experiment, list(heard.values()))
    assert MARK not in said
    assert ODD not in said
    assert daemon.tracebacks() == []
    assert await experiment.stop() == 0


@pytest.mark.row("C6")
async def test_every_call_asks_for_its_scope(experiment: Experiment) -> None:
    """Without a token 401, with another scope's 403, whether or not the thing exists."""
    daemon = await experiment.start(auth={"tokens": TOKENS}, queues=QUEUES)
    port = port_of(daemon.urls["api"])

    for (method, path), own in CALLS.items():
        nobody = await say(port, request(method=method, path=path))
        others = [
            await say(port, request(b"", BEARER + other, method=method, path=path))
            for other in {SUBMIT, READ, OPERATE} - {own}
        ]
        assert (method, path, nobody.statuses) == (method, path, [401])
        assert [each.statuses for each in others] == [[403], [403]]
    by_query = await say(port, request(method="GET", path=f"/v1/queues?access_token={READ}"))

    assert by_query.statuses == [401]
    assert MARK not in await everything_said(experiment, [by_query])
    assert await experiment.stop() == 0


@pytest.mark.row("C6")
@pytest.mark.parametrize(
    ("framing", "piece"),
    [
        ("Content-Length: 100000000", b"x" * MIB),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (MIB, b"x" * MIB)),
    ],
    ids=["length", "chunked"],
)
async def test_body_of_somebody_unknown_is_not_read(
    experiment: Experiment, framing: str, piece: bytes
) -> None:
    """The 401 comes before the body, without `100 Continue`, and costs no memory."""
    daemon = await experiment.start(auth={"tokens": TOKENS}, queues=QUEUES)
    port = port_of(daemon.urls["api"])
    lines = ("POST /v1/queues/work/items HTTP/1.1", "Host: t", framing)
    head = "\r\n".join((*lines, "", "")).encode()
    patient = "\r\n".join((*lines, "Expect: 100-continue", "", "")).encode()
    before = experiment.watch.look()

    quick = await say(port, head, seconds=0.3)
    waiting = await say(port, patient, seconds=0.3)
    poured = await say(port, head, *[piece] * 64, seconds=1.0)

    after = experiment.watch.look()
    assert [each.statuses for each in (quick, waiting)] == [[401], [401]]
    assert poured.statuses[0] == 401
    assert before is not None
    assert after is not None
    assert after.rss_bytes - before.rss_bytes < 20 * MIB
    assert await experiment.stop() == 0
