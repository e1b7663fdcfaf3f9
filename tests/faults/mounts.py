"""Disks to fill, freeze and take away, in a mount namespace of our own."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
from pathlib import Path

import pytest

_NEW_NAMESPACE = 0x20000


def run(*words: str | Path) -> None:
    """Run a command of the system; fails with what it says."""
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def needed(*programs: str) -> None:
    """Skip the test where one of these programs is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")


@functools.cache
def leave_the_namespace() -> str | None:
    """Let nobody else see what we mount from now on; why not, if it cannot be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NAMESPACE) != 0:
        return "a mount namespace of our own is forbidden here"
    try:
        run("mount", "--make-rprivate", "/")
    except OSError as error:
        return str(error)
    return None


class Mounts:
    """Mounts disks, and takes them away at the end."""

    def __init__(self) -> None:
        needed("mount", "umount")
        if why := leave_the_namespace():
            pytest.skip(why)
        self._folders: list[Path] = []

    def close(self) -> None:
        """Unmount everything, whoever still uses it."""
        for folder in reversed(self._folders):
            run("umount", "--lazy", folder)

    def tmpfs(self, folder: Path, size: str) -> Path:
        """A disk in memory of that size."""
        return self._mount(folder, "-t", "tmpfs", "-o", f"size={size}", "none")

    def ext4(self, folder: Path, size: str) -> Path:
        """A disk in a file."""
        needed("mkfs.ext4", "truncate")
        image = folder.with_suffix(".img")
        run("truncate", "-s", size, image)
        run("mkfs.ext4", "-q", "-F", image)
        return self._mount(folder, "-o", "loop", image)

    def again(self, folder: Path, options: str) -> None:
        """Mount with other options; raises `OSError` when the system will not."""
        run("mount", "-o", f"remount,{options}", folder)

    def _mount(self, folder: Path, *words: str | Path) -> Path:
        folder.mkdir(exist_ok=True)
        try:
            run("mount", *words, folder)
        except OSError as error:
            pytest.skip(f"mounting is forbidden here: {error}")
        self._folders.append(folder)
        return folder
