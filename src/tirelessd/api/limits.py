"""How much of anything one caller may ask for."""

from __future__ import annotations

from typing import Final

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Bounds on what a connection may send and hold.

    `body_bytes` bounds a payload, and a line of a batch; `batch_lines` and `batch_bytes` a batch as
    a whole; `header_bytes` the headers of a request together. `header_seconds` runs from the first
    byte of a request (for the first one, from the connection's start) to the end of its headers,
    `body_seconds` from there to the end of its body; a caller that does not take its answer gets as
    long again. `idle_seconds` is how long a connection is kept between two requests. `held_bytes`
    bounds the bodies of all requests at work together; beyond it requests are refused until others
    are done. `descriptor_share` is the part of the process's file descriptors that connections may
    have, whatever `connections` says.
    """

    body_bytes: int = 1_048_576
    batch_lines: int = 10_000
    batch_bytes: int = 33_554_432
    connections: int = 8_000
    header_bytes: int = 65_536
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    held_bytes: int = 268_435_456
    descriptor_share: float = 0.75


# Probes, a scraper or two, and people: whoever floods this listener takes nothing from the other.
OPS_LIMITS: Final = Limits(connections=512, header_seconds=5.0, descriptor_share=0.125)
