"""A tree of files as one can compare and weigh it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One file, folder or link: who may do what, since when, and what is in it."""

    mode: int
    user: int
    group: int
    changed_at: int
    content: str
    size_bytes: int

    @property
    def is_file_or_folder(self) -> bool:
        """Whether something can be kept in it."""
        return stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode)

    def may_be_written_by(self, user: int, group: int) -> bool:
        """Whether its mode lets somebody write who is no root; devices and links are no files."""
        bits = (self.user == user, stat.S_IWUSR), (self.group == group, stat.S_IWGRP)
        mine = any(is_mine and self.mode & bit for is_mine, bit in bits)
        return self.is_file_or_folder and (mine or bool(self.mode & stat.S_IWOTH))


def read_tree(root: Path) -> dict[str, Entry]:
    """Everything below a folder, by the path below it."""
    return {str(path.relative_to(root)): read_entry(path) for path in walk(root)}


def walk(root: Path) -> Iterator[Path]:
    """Every path, links not followed."""
    for folder, folders, files in os.walk(root):
        yield from (Path(folder) / name for name in folders + files)


def read_entry(path: Path) -> Entry:
    """What there is to know of one path."""
    about = path.lstat()
    content, size_bytes = "", 0
    if stat.S_ISLNK(about.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(about.st_mode):
        content, size_bytes = hashlib.sha256(path.read_bytes()).hexdigest(), about.st_size
    return Entry(
        about.st_mode, about.st_uid, about.st_gid, int(about.st_mtime), content, size_bytes
    )


def weigh(tree: dict[str, Entry]) -> Counter[str]:
    """The bytes of bytecode, compiled code, modules and the rest."""
    kinds = {".pyc": "bytecode", ".so": "compiled code", ".py": "modules"}
    weights: Counter[str] = Counter()
    for path, entry in tree.items():
        weights[kinds.get(Path(path).suffix, "the rest")] += entry.size_bytes
    return weights
