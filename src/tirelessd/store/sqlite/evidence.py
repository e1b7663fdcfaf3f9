"""What a killed process left beside its database that tells how much its log must hold.

SQLite takes a log up to its first damaged frame and drops the rest without a word, as after a power
cut, which can only tear what was never flushed. But the log's index, which the next start throws
away, says how far it was flushed: for here every commit is, before the index knows of it. So a log
that ends earlier has lost commits, and a start on it would be silent loss. The index itself is
never flushed: once the system has been down it may be of any age, and is no evidence.

Formats: sqlite.org/walformat.html, sections 2.1 and 4.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.errors import StartError

_LOG_HEADER: Final = struct.Struct(">I12x8s8x")
_LOG_MAGIC: Final = frozenset({0x377F0682, 0x377F0683})
# In the index: last frame of the last commit, salts; a second copy; how much has been copied.
_INDEX_HEADER: Final = struct.Struct("=16xI12x8s8x")
_COPIED: Final = struct.Struct("=I")
_COPIED_AT: Final = 2 * _INDEX_HEADER.size


class LogEvidence:
    """The log and its index as they were found; nothing else may have opened the database."""

    def __init__(self, path: Path) -> None:
        self._log_path = path.with_name(path.name + "-wal")
        self._index_path = path.with_name(path.name + "-shm")
        self._index = _bytes_of(self._index_path)
        self._log_header = _bytes_of(self._log_path, _LOG_HEADER.size)

    def check(self, db: apsw.Connection, *, is_same_boot: bool) -> None:
        """Raise `StartError` unless the log that SQLite has read holds all that was flushed."""
        pages, _ = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        is_cut = is_same_boot and pages < self._promised_pages()
        if is_cut or self._is_garbled():
            raise StartError(
                f"{self._log_path} is damaged or cut, and commits in it are lost; restore it with "
                f"its database from a backup, or delete it and {self._index_path.name} to go on "
                "without them"
            )

    def restore_index(self) -> None:
        """Put the index back as it was found, so that the next start has the evidence, too."""
        if self._index and self._index_path.exists():
            self._index_path.write_bytes(self._index)

    def _promised_pages(self) -> int:
        """How many pages of flushed commits the log must still have; 0 when nothing tells."""
        copies = (self._index[: _INDEX_HEADER.size], self._index[_INDEX_HEADER.size : _COPIED_AT])
        if len(self._index) < _COPIED_AT + _COPIED.size or copies[0] != copies[1]:
            return 0
        pages, salts = _INDEX_HEADER.unpack(copies[0])
        (copied,) = _COPIED.unpack_from(self._index, _COPIED_AT)
        # Once all is in the database the log is begun anew: another one is no loss then.
        is_same_log = self._salts() == salts
        return 0 if copied >= pages and not is_same_log else int(pages)

    def _salts(self) -> bytes | None:
        if len(self._log_header) < _LOG_HEADER.size:
            return None
        return bytes(_LOG_HEADER.unpack(self._log_header)[1])

    def _is_garbled(self) -> bool:
        """Whether the log begins with something else than a header, or than nothing at all."""
        if len(self._log_header) < _LOG_HEADER.size or not any(self._log_header):
            return False
        return _LOG_HEADER.unpack(self._log_header)[0] not in _LOG_MAGIC


def _bytes_of(path: Path, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError:
        return b""
