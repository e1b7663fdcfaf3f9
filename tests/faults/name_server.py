"""A name server that a test rewrites, and a way to let one process alone believe it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

# Of loopback's sixteen million addresses one that nobody else has a name server on.
HOST = "127.77.0.53"
PORT = 53
NO_SUCH_NAME = 3
A_RECORD, INTERNET = 1, 1


class NameServer(asyncio.DatagramProtocol):
    """Answers IPv4 questions by `addresses`; a name that is missing there does not exist.

    While `is_silent`, and for the names in `silent`, it answers nothing.
    """

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses
        self.is_silent = False
        self.silent: set[str] = set()
        self.questions = 0

    async def __aenter__(self) -> Self:
        """Listen; skips the test where that is not allowed."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=(HOST, PORT)
            )
        except OSError as error:
            pytest.skip(f"no name server can listen on {HOST}:{PORT}: {error}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question (RFC 1035 section 4.1)."""
        self.questions += 1
        name, end = name_in(data)
        if self.is_silent or name in self.silent:
            return
        (kind,) = struct.unpack_from("!H", data, end)
        address = self.addresses.get(name)
        answers = b""
        if address and kind == A_RECORD:
            # The name is that of the question, 12 bytes from the start; it may be kept no second.
            answers = struct.pack("!HHHLH", 0xC00C, A_RECORD, INTERNET, 0, 4)
            answers += socket.inet_aton(address)
        code = 0 if address else NO_SUCH_NAME
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, bool(answers), 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + answers, addr)


def name_in(message: bytes) -> tuple[str, int]:
    """The name of the first question, in lower case, and where it ends."""
    labels, at = [], 12
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def believing(folder: Path) -> tuple[str, ...]:
    """A command prefix under which a process asks `HOST`; skips the test where it cannot be had."""
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {HOST}\noptions timeout:2 attempts:2\n")
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare program, so no mount namespace")
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", script, str(resolver))
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace can be made: {tried.stderr.decode(errors='replace')}")
    return prefix
