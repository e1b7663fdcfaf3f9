"""Where and with what the figures are measured."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import apsw

from bench.figures import Machine
from bench.processes import ROOT, BenchFailed
from tirelessd import __version__

IN_MEMORY: Final = {"tmpfs", "ramfs", "devtmpfs"}


def this_machine(folder: Path) -> Machine:
    """This machine; raises `BenchFailed` when `folder` is not on a disk, for that is half of it."""
    kind = file_system(folder)
    if kind in IN_MEMORY:
        raise BenchFailed(f"{folder} is on {kind}, in memory; name another with FOLDER=/on/a/disk")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()}",
        file_system=kind,
        versions={
            "tirelessd": __version__,
            "python": platform.python_version(),
            "sqlite": apsw.sqlite_lib_version(),
            **{name: version(name) for name in ("aiohttp", "apsw", "uvloop")},
        },
    )


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    # The last mount on a place hides those before it.
    kinds = {Path(mount.split()[1]): mount.split()[2] for mount in mounts}
    place = folder.resolve()
    return next(kinds[each] for each in (place, *place.parents) if each in kinds)


def commit() -> str:
    """The commit that is measured, with a + when files differ from it; "unknown" outside git."""
    known = _git("rev-parse", "--short=12", "HEAD")
    if not known:
        return "unknown"
    return known + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        asked = subprocess.run(  # noqa: S603 - constants
            ["git", *arguments],  # noqa: S607 - whichever git made the checkout
            cwd=ROOT,
            capture_output=True,
            check=False,
            text=True,
        )
    except FileNotFoundError:
        return ""
    return asked.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
