"""Taking many items at once: every line is answered, and one line's trouble is its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.api.conftest import LIMITS, OTHER, WORK, MakeEdge
from tests.api.edge import Edge, Wire, chunked, head, problem_in
from tests.api.failing import failing
from tirelessd.api.batch import SLICE_BYTES, slices
from tirelessd.core.errors import CommitUnknown, StoreFull, StoreUnavailable
from tirelessd.core.events import IntakeRequestFinished, ItemAccepted, ItemSucceeded

BATCH = "/v1/queues/work/batch"
GOOD = b'{"payload": 1}'

PAYLOADS = [
    b"null",
    b'""',
    b"1.50e+01",
    b"18446744073709551616",
    b"1e999",
    b'{"b" : 1,\t"a":1 , "a":2}',
    '"ä🦉"'.encode(),
    rb'"\u00e4\u0000"',
    b"[" * 200 + b"]" * 200,
    b"9" * 5_000,
]
BAD_LINES = [
    b"x",
    b"{}",
    b"[]",
    b'{"payload": }',
    b'{"payload": 1',
    b'{"payload": 1} x',
    b'{"payload": NaN}',
    b'{"payload": 01}',
    b'{"payload": "\x80"}',
    b'{"payload": "\xed\xa0\x80"}',
    b'{"payload": "a\x00b"}',
    rb'{"payload": "\ud800"}',
    b'{"payload": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"payload": 1, "priority": 11}',
    b'{"payload": 1, "prioritty": 1}',
    b'{"payload": 1, "\xff": 1}',
    b'{"payload": 1, "idempotency_key": "a b"}',
    b'{"payload": 1, "delay_seconds": 1e999}',
    b'{"payload": 1, "not_before": "tomorrow"}',
    b'\xef\xbb\xbf{"payload": 1}',
    '{"payload": 1}'.encode("utf-16-be").replace(b"\n", b""),
]


async def results_of(edge: Edge, *lines: bytes) -> list[dict[str, Any]]:
    """What a batch that is accepted in part was answered."""
    response = await edge.send_lines(*lines)
    assert response.status == 202, await response.text()
    results: list[dict[str, Any]] = (await response.json())["results"]
    return results


def lines_with(results: Sequence[dict[str, Any]], member: str) -> list[int]:
    """The numbers of the lines that have an id, or a problem."""
    return [result["line"] for result in results if member in result]


async def test_every_line_becomes_an_item(idle: Edge) -> None:
    """The answer names them in the order of the lines."""
    results = await results_of(idle, *(b'{"payload": %d}' % n for n in range(5)))

    payloads = [
        await (await idle.client.get(f"/v1/items/{result['id']}/payload")).read()
        for result in results
    ]
    assert [result["line"] for result in results] == [1, 2, 3, 4, 5]
    assert payloads == [b"0", b"1", b"2", b"3", b"4"]


async def test_payload_is_the_bytes_of_the_line(idle: Edge) -> None:
    """No number is rounded, no key dropped, no space moved; the type is JSON's."""
    results = await results_of(idle, *(b'{"payload": ' + text + b"}" for text in PAYLOADS))

    responses = [await idle.client.get(f"/v1/items/{result['id']}/payload") for result in results]

    assert [await response.read() for response in responses] == PAYLOADS
    assert {response.headers["Content-Type"] for response in responses} == {"application/json"}


async def test_bad_line_is_told_by_its_number_and_costs_only_itself(idle: Edge) -> None:
    """The good lines around it are kept."""
    mixed = [line for bad in BAD_LINES for line in (GOOD, bad)]

    results = await results_of(idle, *mixed)

    problems = {mixed[result["line"] - 1]: result["problem"] for result in results[1::2]}
    codes = {line: (problem["status"], problem["code"]) for line, problem in problems.items()}
    assert lines_with(results, "id") == [*range(1, len(mixed) + 1, 2)]
    assert codes == dict.fromkeys(BAD_LINES, (400, "invalid_request"))
    assert all(problem["field"] for problem in problems.values())


async def test_blank_lines_are_skipped_and_counted(idle: Edge) -> None:
    """A line keeps the number that an editor shows for it."""
    results = await results_of(idle, b"", GOOD, b" \t", GOOD + b"\r", b"", b"")

    assert lines_with(results, "id") == [2, 4]
    assert len(results) == 2


async def test_options_of_a_line_are_kept_with_its_item(idle: Edge) -> None:
    """A line may ask for what a header may."""
    (result,) = await results_of(
        idle,
        b'{"payload":1,"priority":9,"delay_seconds":60,"deadline_seconds":600,'
        b'"not_before":"2031-01-01T00:00:00Z","idempotency_key":"k"}',
    )

    item = await idle.get(f"/v1/items/{result['id']}")

    assert (item["priority"], item["due_at"]) == (9, "2031-01-01T00:00:00Z")
    assert item["deadline_at"] == "2031-01-01T00:10:00Z"


async def test_one_key_in_two_lines_is_one_item(idle: Edge) -> None:
    """Also within one batch, and the second line says that it was replayed."""
    keyed = b'{"payload": 1, "idempotency_key": "k"}'

    results = await results_of(idle, keyed, keyed)

    assert results[0]["id"] == results[1]["id"]
    assert [result.get("replayed") for result in results] == [None, True]


async def test_conflicting_line_has_its_problem(idle: Edge) -> None:
    """A key that stands for another line is that line's trouble."""
    results = await results_of(
        idle,
        b'{"payload": 1, "idempotency_key": "k"}',
        b'{"payload": 2, "idempotency_key": "k"}',
    )

    problem = results[1]["problem"]
    assert (problem["status"], problem["code"]) == (422, "idempotency_key_reused")
    assert problem["item_id"] == results[0]["id"]


async def test_batch_of_replays_is_a_replay(idle: Edge) -> None:
    """Nothing new was stored, and the header says so."""
    keyed = b'{"payload": 1, "idempotency_key": "k"}'
    first = await results_of(idle, keyed)

    response = await idle.send_lines(keyed)

    assert response.status == 202
    assert response.headers["Idempotency-Replayed"] == "true"
    assert (await response.json())["results"][0]["id"] == first[0]["id"]


async def test_batch_of_many_slices_is_stored_whole(idle: Edge) -> None:
    """More lines than one commit takes are all durable before the answer."""
    lines = [b'{"payload": %d}' % n for n in range(2_500)]

    results = await results_of(idle, *lines)

    assert [result["line"] for result in results] == [*range(1, 2_501)]
    assert len({result["id"] for result in results}) == 2_500
    assert len(idle.house.recorder.of(ItemAccepted)) == 2_500


def test_slices_are_bounded_in_lines_and_bytes() -> None:
    """A commit takes a thousand small lines, or a few large ones; a line is never split."""
    small, large = [b"x"] * 1_001, [b"y" * (SLICE_BYTES // 2 + 1)] * 2

    parts = [*slices([*small, b"", b" ", *large])]

    assert [len(part) for part in parts] == [1_000, 2, 1]
    assert [part[0][0] for part in parts] == [1, 1_001, 1_005]


async def test_batch_runs_to_its_end(edge: Edge) -> None:
    """Items of a batch are attempted like any others."""
    await results_of(edge, *([GOOD] * 50))

    done = await edge.house.recorder.wait_for(ItemSucceeded, 50)

    assert len({event.item_id for event in done}) == 50


# --- what is refused as a whole ----------------------------------------------


async def test_batch_without_a_good_line_is_refused(idle: Edge) -> None:
    """422, with the problem of every line."""
    response = await idle.send_lines(b"x", b"y")

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (422, "batch_rejected")
    assert lines_with(problem["results"], "problem") == [1, 2]
    assert "accepted" not in problem


@pytest.mark.parametrize("body", [b"", b"\n", b"\n \n\n"])
async def test_empty_batch_is_refused(idle: Edge, body: bytes) -> None:
    """Nothing was accepted, because nothing was there."""
    response = await idle.send_lines(body)

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (422, "batch_rejected")
    assert problem["results"] == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([GOOD] * 3_001, id="too many lines"),
        pytest.param([b""] * 3_002, id="too many blank lines"),
        pytest.param([GOOD, b'{"payload": "' + b"x" * 65_536 + b'"}'], id="too long a line"),
        pytest.param([GOOD, b" " * 65_537], id="too long a blank line"),
    ],
)
async def test_too_large_a_batch_stores_nothing(idle: Edge, lines: list[bytes]) -> None:
    """Sizes are checked before the first commit."""
    response = await idle.send_lines(*lines)

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (413, "batch_too_large")
    assert idle.house.recorder.of(ItemAccepted) == []


@pytest.mark.parametrize(
    ("piece", "word"),
    [
        (b"\n" * (LIMITS.batch_lines + 1), "3000 lines"),
        (GOOD + b"\n" + b"x" * (LIMITS.body_bytes + 1), "line 2 "),
    ],
    ids=["lines", "line"],
)
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_batch_beyond_its_limits_is_refused_before_its_end(
    wire: Wire, framing: str, piece: bytes, word: str
) -> None:
    """What is too much already need not be held to its end."""
    wire.send(head(framing, "Content-Type: application/x-ndjson", path=BATCH))
    halves = (piece[:100], piece[100:])

    wire.send(chunked(*halves) if "chunked" in framing else piece)
    answer = await wire.answer()

    assert (answer.status, answer.problem["code"]) == (413, "batch_too_large")
    assert word in answer.problem["detail"]


async def test_batch_of_the_limit_is_taken(idle: Edge) -> None:
    """As many lines as allowed, with a newline after the last."""
    results = await results_of(idle, *([GOOD] * idle.limits.batch_lines), b"")

    assert len(results) == idle.limits.batch_lines


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/octet-stream",
        "application/x-ndjson; charset=utf-16",
        "application/x-ndjson-seq",
        "",
    ],
)
async def test_other_types_are_no_batches(idle: Edge, content_type: str) -> None:
    """The type must say what the body is."""
    response = await idle.client.post(BATCH, data=GOOD, headers={"Content-Type": content_type})

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-ndjson; charset=utf-8",
        'Application/X-NDJSON;charset="UTF-8"',
        "application/x-ndjson; profile=x",
    ],
)
async def test_type_is_read_as_http_has_it(idle: Edge, content_type: str) -> None:
    """Case, quotes and other parameters do not matter."""
    response = await idle.client.post(BATCH, data=GOOD, headers={"Content-Type": content_type})

    assert response.status == 202


async def test_options_in_headers_are_refused(idle: Edge) -> None:
    """They would be meant for every line, and no line would hear them."""
    response = await idle.client.post(
        BATCH,
        data=GOOD,
        headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"},
    )

    problem = await problem_in(response)
    assert (response.status, problem["field"]) == (400, "Idempotency-Key")


# --- full, draining, failing -------------------------------------------------


async def test_what_does_not_fit_is_refused_line_by_line(make_edge: MakeEdge) -> None:
    """The first ones come in, the others may come again."""
    small = await make_edge(msgspec.structs.replace(WORK, capacity_items=3))
    await small.pause()

    results = await results_of(small, *([GOOD] * 5))

    assert lines_with(results, "id") == [1, 2, 3]
    problems = [result["problem"] for result in results[3:]]
    assert {problem["code"] for problem in problems} == {"queue_full"}
    assert all(problem["accepted"] is False for problem in problems)


async def test_batch_that_does_not_fit_at_all_may_come_again(make_edge: MakeEdge) -> None:
    """503 with `Retry-After`: there is nothing wrong with its lines."""
    small = await make_edge(msgspec.structs.replace(WORK, capacity_items=1), OTHER)
    await small.pause()
    await small.submit()

    response = await small.send_lines(GOOD, b"x")

    problem = await problem_in(response)
    assert (response.status, problem["code"], problem["accepted"]) == (503, "queue_full", False)
    assert int(response.headers["Retry-After"]) >= 1
    codes = [result["problem"]["code"] for result in problem["results"]]
    assert codes == ["queue_full", "invalid_request"]


async def test_store_that_fails_midway_costs_only_what_is_left(
    idle: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier slices are durable and stay accepted; later ones were not even tried."""
    enqueue = failing(monkeypatch, idle.house, "enqueue", StoreUnavailable("gone"), first=2)

    response = await idle.send_lines(*([GOOD] * 2_500))

    results = (await response.json())["results"]
    assert response.status == 202
    assert lines_with(results, "id") == [*range(1, 1_001)]
    assert lines_with(results, "problem") == [*range(1_001, 2_501)]
    assert {result["problem"]["code"] for result in results[1_000:]} == {"store_unavailable"}
    assert all(result["problem"]["accepted"] is False for result in results[1_000:])
    assert enqueue.calls == 2


async def test_unknown_commit_is_unknown_for_its_own_lines_only(
    idle: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never handed to the store was certainly not accepted."""
    failing(monkeypatch, idle.house, "enqueue", CommitUnknown("cut off"))

    response = await idle.send_lines(*([GOOD] * 1_001))

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (503, "store_unavailable")
    assert problem["accepted"] == "unknown"
    fates = [result["problem"]["accepted"] for result in problem["results"]]
    assert fates == ["unknown"] * 1_000 + [False]


async def test_full_store_refuses_the_batch(idle: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 `store_full`; the bad line among them stays a bad line."""
    failing(monkeypatch, idle.house, "enqueue", StoreFull("/secret/path is full"))

    response = await idle.send_lines(b"x", GOOD)

    problem = await problem_in(response)
    assert (response.status, problem["code"], problem["accepted"]) == (503, "store_full", False)
    assert [result["problem"]["status"] for result in problem["results"]] == [400, 503]
    assert "secret" not in await response.text()


async def test_batch_is_one_submission(idle: Edge) -> None:
    """However many lines it has, it is counted once, by the best that became of it."""
    keyed = b'{"payload": 1, "idempotency_key": "k"}'
    for lines in ([keyed, b"x"], [keyed], [b"x"], [b"x"] * 3_001):
        await idle.send_lines(*lines)

    results = [event.result for event in idle.house.recorder.of(IntakeRequestFinished)]

    assert results == ["accepted", "duplicate", "invalid", "too_large"]
