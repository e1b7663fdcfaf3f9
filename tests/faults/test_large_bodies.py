"""C2: whatever is sent, as large, packed or garbled as it may be, takes no memory and no 5xx."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.faults.experiment import Experiment, Scale
from tests.faults.stranger import Heard, port_of, pour
from tests.faults.watch import MIB

PIECE = bytes(range(256)) * 256
LARGE_BYTES = 100 * MIB
RSS_MIB = 20.0
ITEMS, BATCH = "/v1/queues/work/items", "/v1/queues/work/batch"
# Members follow one another in a gzip file: 64 of 16 MiB make a GiB of less than a megabyte.
BOMB = gzip.compress(bytes(16 * MIB), 9) * 64


@dataclass(frozen=True)
class Pour:
    """A request: so many bytes of a piece that is repeated, under these fields."""

    status: int
    path: str = ITEMS
    fields: tuple[str, ...] = ()
    piece: bytes = PIECE
    size_bytes: int = LARGE_BYTES
    is_chunked: bool = False
    method: str = "POST"

    async def parts(self) -> AsyncIterator[bytes]:
        """The request, a piece at a time."""
        framing = f"Content-Length: {self.size_bytes}"
        if self.is_chunked:
            framing = "Transfer-Encoding: chunked"
        lines = (f"{self.method} {self.path} HTTP/1.1", "Host: t", "Connection: close", framing)
        yield "\r\n".join((*lines, *self.fields, "", "")).encode()
        for _ in range(self.size_bytes // len(self.piece)):
            yield (
                b"%x\r\n%b\r\n" % (len(self.piece), self.piece) if self.is_chunked else self.piece
            )
        if self.is_chunked:
            yield b"0\r\n\r\n"


NDJSON = "Content-Type: application/x-ndjson"


def encoded(*fields: str, path: str = ITEMS, piece: bytes = PIECE, status: int = 415) -> Pour:
    """One piece under an encoding."""
    return Pour(status, path, fields, piece, len(piece))


LARGE: Mapping[str, Pour] = {
    "by length": Pour(413),
    "chunked": Pour(413, is_chunked=True),
    "batch by length": Pour(413, BATCH, (NDJSON,)),
    "batch chunked": Pour(413, BATCH, (NDJSON,), is_chunked=True),
    "batch of one line": Pour(413, BATCH, (NDJSON,), b"x" * 65_536, is_chunked=True),
    "batch of empty lines": Pour(413, BATCH, (NDJSON,), b"\n" * 65_536, is_chunked=True),
    "batch of one line by length": Pour(413, BATCH, (NDJSON,), b"x" * 65_536, 30 * MIB),
    "pause": Pour(413, "/v1/queues/work/pause"),
    "redrive": Pour(413, "/v1/dead-letters/redrive", is_chunked=True),
    "with a read": Pour(200, "/v1/queues", method="GET"),
    "with a read, chunked": Pour(200, "/v1/queues", is_chunked=True, method="GET"),
    "with a cancel": Pour(404, "/v1/items/x", is_chunked=True, method="DELETE"),
    "to nowhere": Pour(404, "/nowhere", is_chunked=True),
    "to no queue": Pour(404, "/v1/queues/none/items"),
    "by another method": Pour(405, ITEMS, method="PUT"),
}
GZIP = "Content-Encoding: gzip"
BOMB_READ = encoded(GZIP, path="/v1/queues", piece=BOMB, status=200)
SOME = ("by length", "chunked", "batch by length", "batch of one line", "with a read")
ENCODED: Mapping[str, Pour] = {
    "bomb": encoded(GZIP, piece=BOMB),
    "bomb chunked": replace(encoded(GZIP, piece=BOMB), is_chunked=True),
    "bomb as a batch": encoded(NDJSON, GZIP, path=BATCH, piece=BOMB),
    "bomb to redrive": encoded(GZIP, path="/v1/dead-letters/redrive", piece=BOMB),
    "bomb with a read": replace(BOMB_READ, method="GET"),
    "bomb in the coding": encoded("Transfer-Encoding: gzip, chunked", piece=BOMB, status=400),
    "garbage as gzip": encoded(GZIP),
    "garbage as deflate": encoded("Content-Encoding: deflate"),
    "br": encoded("Content-Encoding: br"),
    "zstd": encoded("Content-Encoding: zstd"),
    "identity": encoded("Content-Encoding: identity"),
    "unknown": encoded("Content-Encoding: \xff"),
    "nothing": encoded("Content-Encoding:"),
    "several": encoded("Content-Encoding: gzip, br, gzip"),
    "twice": encoded(GZIP, "Content-Encoding: br"),
}


def peak_mib(pid: int) -> float:
    """The most memory that a process has had."""
    status = (Path("/proc") / str(pid) / "status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1_024


async def pour_all(port: int, pours: Mapping[str, Pour], most_bytes: int) -> dict[str, Heard]:
    """One after the other, none larger than so many bytes."""
    sized = {
        name: replace(each, size_bytes=min(each.size_bytes, most_bytes))
        for name, each in pours.items()
    }
    return {name: await pour(port, each.parts(), seconds=20.0) for name, each in sized.items()}


@pytest.mark.row("C2")
@pytest.mark.parametrize("pours", [LARGE, ENCODED], ids=["large", "encoded"])
async def test_large_and_encoded_bodies_take_no_memory(
    experiment: Experiment, scale: Scale, pours: Mapping[str, Pour]
) -> None:
    """Each has its 4xx; the daemon's memory hardly grows, nothing is stored, nothing logged."""
    if pours is LARGE:
        pours = {name: LARGE[name] for name in scale.pick(SOME, tuple(LARGE))}
    daemon = await experiment.start(limits={"body_seconds": 5.0})
    async with experiment.load(rate=scale.pick(50.0, 300.0)):
        heal = await experiment.heal(5)
        calm = peak_mib(daemon.pid)
        lines = len(daemon.lines)

        heard = await pour_all(
            port_of(daemon.urls["api"]), pours, scale.pick(40 * MIB, LARGE_BYTES)
        )

        grown = peak_mib(daemon.pid) - calm
    assert heal < 5
    wrong = {
        name: (each.statuses, each.codes, each.end)
        for name, each in heard.items()
        if each.statuses != [pours[name].status]
    }
    assert wrong == {}
    assert grown <= RSS_MIB
    assert daemon.lines[lines:] == []
    await experiment.finish(kills=0)
