"""Become a container: the process that this is run as ends as the image's program.

Run under `unshare --mount --pid --fork`, so that nobody else sees the mounts, and the program is
process 1. It gets what a pod's "restricted" policy leaves: a read-only root, a user without a name,
no capability and no way to one. The image's shells are covered up.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

DIE_WITH_PARENT = 1
NO_NEW_PRIVILEGES = 38
DROP_FROM_BOUNDING_SET = 24
CAPABILITIES = 64
DEVICES = ("null", "zero", "random", "urandom")
SHELLS = ("usr/bin/bash", "usr/bin/dash")


class Mount(msgspec.Struct, frozen=True):
    """A folder or file of ours, at a place of the container's."""

    source: str
    target: str
    is_writable: bool = False


class Spec(msgspec.Struct, frozen=True):
    """What to run, as what, and where; `layer` is an empty folder for what only this one sees."""

    image: str
    layer: str
    command: list[str]
    user: int
    group: int
    folder: str
    environment: dict[str, str]
    mounts: list[Mount]


def mount(*words: str | Path) -> None:
    """Mount, or fail."""
    subprocess.run(["mount", *map(str, words)], check=True)  # noqa: S607  (of the system)


def prepare(spec: Spec) -> Path:
    """Mount everything below a root, and make that read-only; gives it."""
    mount("--make-rprivate", "/")
    root = lay(Path(spec.layer), over=spec.image)
    for each in spec.mounts:
        place = root / each.target.lstrip("/")
        make_place(place, is_folder=Path(each.source).is_dir())
        mount("--bind", each.source, place)
        if not each.is_writable:
            mount("-o", "remount,bind,ro", place)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "mode=755", "none", root / "dev")
    for name in DEVICES:
        make_place(root / "dev" / name, is_folder=False)
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    for name in SHELLS:
        mount("--bind", "/dev/null", root / name)
    mount("-o", "remount,ro", root)
    return root


def lay(layer: Path, over: str) -> Path:
    """Put a layer in memory over an image, for the places that something is mounted on."""
    mount("-t", "tmpfs", "-o", "mode=755", "none", layer)
    root, upper, work = (layer / name for name in ("root", "upper", "work"))
    for folder in (root, upper, work):
        folder.mkdir()
    layers = f"lowerdir={over},upperdir={upper},workdir={work}"
    mount("-t", "overlay", "-o", layers, "none", root)
    return root


def make_place(place: Path, *, is_folder: bool) -> None:
    """Have something to mount on."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()


def give_up_privileges(spec: Spec) -> None:
    """Be nobody, for good."""
    libc = ctypes.CDLL(None)
    for number in range(CAPABILITIES):
        libc.prctl(DROP_FROM_BOUNDING_SET, number, 0, 0, 0)  # those that there are
    os.setgroups([])
    os.setresgid(spec.group, spec.group, spec.group)
    os.setresuid(spec.user, spec.user, spec.user)
    # What `--kill-child` has set, the kernel forgets when a process becomes somebody else.
    libc.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError("the kernel knows no way to forbid new privileges")


def main() -> None:
    """Read what to be from the file that is named, and become it."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Spec)
    os.chroot(prepare(spec))
    os.chdir(spec.folder)
    give_up_privileges(spec)
    os.execve(spec.command[0], spec.command, spec.environment)  # noqa: S606  (that is the point)


if __name__ == "__main__":
    main()
