"""What the kernel holds for a listening socket: taken in whole, so that closing it resets nobody.

The kernel completes a connection by itself and keeps it until it is accepted. Closing the socket
resets all that are kept, and their clients, who may have sent a request by then, are in doubt.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import Final

# Linux's number; the standard library has no name for it.
SO_ATTACH_FILTER: Final = 26

# A classic BPF program over the TCP header: a SYN is dropped, everything else is let through. Its
# instructions are (code, jump if true, jump if false, operand).
_LOAD_BYTE, _JUMP_IF_SET, _RETURN = 0x30, 0x45, 0x06
_FLAGS_OFFSET, _SYN = 13, 0x02
_DROP_SYN: Final = (
    (_LOAD_BYTE, 0, 0, _FLAGS_OFFSET),
    (_JUMP_IF_SET, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)


def take_all(listening: socket.socket) -> list[socket.socket]:
    """Every connection that the kernel has made; from now on it makes no more.

    A client that connects now hears nothing until the socket is closed, tries once more after a
    second, and is refused then. Where a system cannot do that, one that connects between the last
    look and the closing is reset.
    """
    _drop_newcomers(listening)
    listening.settimeout(0)
    waiting = []
    while True:
        try:
            waiting.append(listening.accept()[0])
        except OSError:
            # None is left, or no file descriptor to take it with.
            return waiting


def _drop_newcomers(listening: socket.socket) -> None:
    """Have the kernel pass over attempts to connect, as it does when its queue is full."""
    program = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    # The kernel copies it within the call.
    held = ctypes.create_string_buffer(program, len(program))
    where = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(held))
    try:
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, where)
    except OSError:
        # Not this kernel: the window is microseconds wide, and the shutdown must go on.
        return
