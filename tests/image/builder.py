"""Building the image with buildah, in a storage of its own that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
BASES = ROOT / "build/image"
BUILD_SECONDS = 500.0


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; fails with what it says."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Builder:
    """Images in `folder`, which `close` removes; no image is fetched from anywhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.close()
        folder.mkdir(parents=True)
        storage = folder / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/run"\n'
        )
        self._environment = {
            "BUILDER": "buildah",
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(storage),
        }

    def close(self) -> None:
        """Remove all images."""
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def buildah(self, *words: str | Path) -> str:
        """What a command of buildah prints."""
        return run(["buildah", *map(str, words)], self._environment)

    def take_in(self, archive: Path) -> str:
        """Make an image of a tree's archive; gives its name."""
        name = f"localhost/{archive.stem}"
        container = self.buildah("from", "scratch")
        self.buildah("add", container, archive, "/")
        self.buildah("commit", "--quiet", container, name)
        self.buildah("rm", container)
        return name

    def build(self, name: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        """Build as `make image` does, from the bases that were taken in."""
        bases = ("--build-arg=BASE_IMAGE=localhost/base", "--build-arg=BUILD_IMAGE=localhost/tools")
        command = [*prefix, "sh", "scripts/image.sh", "--no-cache", *bases, *arguments]
        run(command, {**self._environment, "IMAGE": f"localhost/{name}"})

    def inspect(self, name: str) -> dict[str, Any]:
        """What an image says of itself, in Docker's words."""
        text = self.buildah("inspect", "--type", "image", f"localhost/{name}")
        about: dict[str, Any] = msgspec.json.decode(text)["Docker"]
        return about

    def unpack(self, name: str) -> Path:
        """A copy of an image's file system."""
        container = self.buildah("from", f"localhost/{name}")
        return Path(self.buildah("mount", container))


def fetch_wheels(folder: Path) -> Path:
    """Download what the locks name, as README.md has it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    checks = ["--require-hashes", "--only-binary", ":all:", "--dest", str(folder)]
    locks = ["-r", "requirements/build.lock", "-r", "requirements/tracing.lock"]
    run([*pip, *checks, *locks])
    return folder


def secrets(folder: Path) -> list[str]:
    """What this machine's pip is told, as the two secrets of the recipe."""
    listed = run([sys.executable, "-m", "pip", "config", "list"]).splitlines()
    options = {name.rpartition(".")[2]: text.strip("'") for name, _, text in split(listed)}
    # Folders of this machine are not there when the image is built.
    kept = {name: text for name, text in options.items() if text.startswith("http")}
    given = []
    if certificate := options.get("cert"):
        kept["cert"] = "/run/secrets/pip.pem"
        given.append(f"--secret=id=pip.pem,src={certificate}")
    lines = ["[global]", *(f"{name} = {text}" for name, text in kept.items())]
    (folder / "pip.conf").write_text("\n".join(lines))
    return [*given, f"--secret=id=pip.conf,src={folder}/pip.conf"]


def split(lines: Sequence[str]) -> list[tuple[str, str, str]]:
    """Lines of the form `name='text'`."""
    return [line.partition("=") for line in lines if "=" in line]
