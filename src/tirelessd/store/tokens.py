"""Random numbers for leases, owners and marks."""

from __future__ import annotations

import os
import struct


def random_numbers(count: int) -> list[int]:
    """Numbers of 63 bits, for databases count signed; from the kernel.

    So none can be guessed, and no restart repeats one.
    """
    return [number >> 1 for number in struct.unpack(f"<{count}Q", os.urandom(8 * count))]
