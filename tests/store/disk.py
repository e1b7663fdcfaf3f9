"""A disk that fails when told to: SQLite's own file layer with faults put in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import apsw

FAULTY = "faulty"


class _File(apsw.VFSFile):
    """A file of the host, whose writes and syncs first ask the disk."""

    def __init__(
        self, disk: FaultyDisk, filename: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        self._disk = disk
        self._name = (
            filename.filename() if isinstance(filename, apsw.URIFilename) else filename or ""
        )
        super().__init__("unix", filename, flags)

    def xLock(self, level: int) -> None:  # noqa: N802
        try:
            super().xLock(level)
        except apsw.IOError:
            # A closing reader tries to lock for a checkpoint, in vain on a file it cannot write.
            raise apsw.BusyError from None

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.ask("write", self._name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.ask("sync", self._name)
        super().xSync(flags)


class FaultyDisk(apsw.VFS):
    """Every connection opened meanwhile goes through here; give it rules of what fails.

    A rule gets the call ("write" or "sync") and the file's name, and answers with SQLite's error
    code or None. It may also block, as a slow disk would.
    """

    def __init__(self) -> None:
        self.rule: Callable[[str, str], int | None] = lambda _call, _name: None
        self.is_read_only = False
        super().__init__(FAULTY, "unix", makedefault=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.unregister()

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file of the host, with this disk in between."""
        if self.is_read_only and flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            # What the host's layer falls back to on a file that it may not write.
            flags[0] = flags[0] & ~apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_READONLY
        return _File(self, name, flags)

    def ask(self, call: str, name: str) -> None:
        """Raise the error that the rule wants."""
        code = self.rule(call, name)
        if code is not None:
            raise apsw.exception_for(code)

    def fail(self, call: str, suffix: str, code: int, *, times: int = 1) -> None:
        """Let that many calls on files with this suffix fail, then none."""
        left = times

        def rule(asked: str, name: str) -> int | None:
            nonlocal left
            if asked == call and name.endswith(suffix) and left:
                left -= 1
                return code
            return None

        self.rule = rule

    def heal(self) -> None:
        """Nothing fails from now on."""
        self.rule = lambda _call, _name: None


class Gate:
    """A place in a writer's thread that stays shut until a test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def wait(self) -> None:
        """Tell that somebody stands here, and stand until it is opened."""
        self.reached.set()
        assert self._opened.wait(timeout=30.0)

    def open(self) -> None:
        """Let everybody through."""
        self._opened.set()
