"""Single items end to end: one request, one durable item, one attempt, one durable end."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from bench.figures import Found, Row, Target
from bench.load import Plan, Seen
from bench.processes import Daemon, Server, running_server
from bench.run import WARM_UP_SECONDS, EndToEnd, Run
from bench.servers import BARE_PATH
from bench.wire import make_request

QUEUE: Final = "single"
QUEUES: Final = {
    QUEUE: {
        "handler": {"type": "python", "function": "bench.handlers:do_nothing"},
        "slots": 64,
    }
}
CONNECTIONS: Final = 64
PATH: Final = f"/v1/queues/{QUEUE}/items"
# The size of a small prediction request.
PAYLOAD: Final = b'{"model": "sentiment", "text": "%b"}' % (b"tireless " * 10)
JSON: Final = {"Content-Type": "application/json"}


@dataclass
class Rounds:
    """What each kind of round came to, in the order they ran."""

    bare: list[Seen] = field(default_factory=list)
    daemon: list[EndToEnd] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)


def make_plan(
    port: int, path: str, seconds: float, *, is_keyed: bool = False, connections: int = CONNECTIONS
) -> Plan:
    """Items over so many connections; keyed ones have a key that was never used before."""
    request = make_request("POST", path, PAYLOAD, JSON)
    if not is_keyed:
        return Plan(port=port, request=request, connections=connections, seconds=seconds)
    start_line, _, rest = request.partition(b"\r\n")
    head = b"%b\r\nIdempotency-Key: %b-" % (start_line, uuid.uuid4().hex.encode())
    return Plan(
        port=port,
        request=head,
        tail=b"\r\n" + rest,
        connections=connections,
        seconds=seconds,
    )


async def run_single(run: Run) -> Found:
    """Bare, daemon, bare with keys, daemon with keys; and again."""
    rounds: defaultdict[bool, Rounds] = defaultdict(Rounds)
    async with running_server("bare") as bare, run.daemon("single", QUEUES) as daemon:
        await run.accept(make_plan(bare.port, BARE_PATH, WARM_UP_SECONDS))
        await run.end_to_end(daemon, QUEUE, make_plan(daemon.port, PATH, WARM_UP_SECONDS))
        for number in range(run.rounds):
            for is_keyed in (False, True):
                await _measure(run, bare, daemon, rounds[is_keyed], is_keyed=is_keyed)
                last = rounds[is_keyed]
                run.say(
                    f"  round {number + 1}{' keyed' if is_keyed else ''}:"
                    f" bare {last.bare[-1].rate:,.0f}/s, daemon {last.daemon[-1].rate:,.0f}/s"
                )
    return Found(
        (
            _rate_row("single items end to end", rounds[False], 0.40),
            _rate_row("single items end to end, with Idempotency-Key", rounds[True], 0.20),
            *_latency_rows(rounds[False]),
            *_latency_rows(rounds[True], ", with Idempotency-Key"),
            *_cost_rows(rounds[False]),
        )
    )


async def _measure(
    run: Run, bare: Server, daemon: Daemon, rounds: Rounds, *, is_keyed: bool
) -> None:
    before = bare.cpu_seconds()
    rounds.bare.append(
        await run.accept(make_plan(bare.port, BARE_PATH, run.seconds, is_keyed=is_keyed))
    )
    rounds.bare_cpu.append(bare.cpu_seconds() - before)
    plan = make_plan(daemon.port, PATH, run.seconds, is_keyed=is_keyed)
    rounds.daemon.append(await run.end_to_end(daemon, QUEUE, plan))


def _rate_row(what: str, rounds: Rounds, least: float) -> Row:
    return Row(
        scenario="single",
        what=what,
        unit="/s",
        rounds=tuple(each.rate for each in rounds.daemon),
        bare_rounds=tuple(each.rate for each in rounds.bare),
        target=Target(least=least, is_ratio=True),
    )


def _latency_rows(rounds: Rounds, suffix: str = "") -> list[Row]:
    daemon = [each.seen for each in rounds.daemon]
    return [
        Row(
            scenario="single",
            what=f"intake p50{suffix}",
            unit="ms",
            rounds=tuple(each.p50_seconds * 1e3 for each in daemon),
            bare_rounds=tuple(each.p50_seconds * 1e3 for each in rounds.bare),
        ),
        Row(
            scenario="single",
            what=f"intake p99{suffix}",
            unit="ms",
            rounds=tuple(each.p99_seconds * 1e3 for each in daemon),
            bare_rounds=tuple(each.p99_seconds * 1e3 for each in rounds.bare),
            target=Target(most=20.0),
        ),
    ]


def _cost_rows(rounds: Rounds) -> list[Row]:
    """What the processors had to do: the load must be cheap beside what it measures."""
    bare_each = tuple(
        cpu / seen.answers * 1e6 for cpu, seen in zip(rounds.bare_cpu, rounds.bare, strict=True)
    )
    return [
        Row(
            scenario="single",
            what="processor time an item, daemon beside bare handler",
            unit="µs",
            rounds=tuple(each.cpu_seconds / each.items * 1e6 for each in rounds.daemon),
            bare_rounds=bare_each,
        ),
        Row(
            scenario="single",
            what="processor time a request, load generator beside bare handler",
            unit="µs",
            rounds=tuple(each.cpu_seconds / each.answers * 1e6 for each in rounds.bare),
            bare_rounds=bare_each,
        ),
    ]
