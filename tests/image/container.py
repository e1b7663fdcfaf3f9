"""The image at work: its file system and its settings, run as a pod would."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.image.launch import Mount, Spec
from tests.waiting import wait_until
from tirelessd.cli.demonstration.process import Addresses, opened_listeners

START_SECONDS = 30.0
END_SECONDS = 30.0
LAUNCH = Path(__file__).with_name("launch.py")
CONFIG = "/etc/tirelessd/tirelessd.yaml"
DATA = "/var/lib/tirelessd"


class Ran(msgspec.Struct, frozen=True):
    """How a command in a container ended, and what it printed."""

    code: int
    output: str


@dataclass
class Image:
    """An unpacked image: its root, and what it says of itself."""

    root: Path
    about: Mapping[str, Any]

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it wants to be run."""
        settings: Mapping[str, Any] = self.about["config"]
        return settings

    def spec(self, command: Sequence[str], layer: Path, mounts: list[Mount]) -> Spec:
        """How a command is run in it."""
        user, group = map(int, self.settings["User"].split(":"))
        environment = dict(line.split("=", 1) for line in self.settings["Env"])
        folder = self.settings["WorkingDir"]
        return Spec(
            str(self.root),
            str(layer),
            list(command),
            user,
            group,
            folder,
            environment,
            mounts,
        )


@dataclass
class Container:
    """Containers of one image on one volume, one daemon after the other; files are in `folder`."""

    image: Image
    folder: Path
    mounts: list[Mount] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    started: int = 0

    def __post_init__(self) -> None:
        """Make the volume, which belongs to the user as the image's folder does."""
        volume = self.folder / "volume"
        volume.mkdir()
        at = (self.image.root / DATA.lstrip("/")).stat()
        os.chown(volume, at.st_uid, at.st_gid)
        self.mounts.append(Mount(str(volume), DATA, is_writable=True))

    def configure(self, config: Mapping[str, Any]) -> None:
        """Mount a configuration where the image looks for it."""
        path = self.folder / "tirelessd.yaml"
        path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
        self.mounts.append(Mount(str(path), CONFIG))

    async def start(self) -> Addresses:
        """Run the image with nothing said, and return once both listeners are open."""
        self.started += 1
        log = self.folder / f"log-{self.started}"
        settings = self.image.settings
        with log.open("wb") as stream:
            self.process = await self._launch(
                [*settings["Entrypoint"], *settings["Cmd"]], asyncio.subprocess.DEVNULL, stream
            )

        async def is_open() -> bool:
            assert self.process is not None
            assert self.process.returncode is None, log.read_text()
            return len(opened_listeners(log)) == len(Addresses.__struct_fields__)

        await wait_until(is_open, START_SECONDS)
        return Addresses(**opened_listeners(log))

    async def _launch(
        self, command: Sequence[str], output: Any, errors: Any
    ) -> asyncio.subprocess.Process:
        path, layer = self.folder / "spec.json", self.folder / "layer"
        layer.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.encode(self.image.spec(command, layer, self.mounts)))
        # `--kill-child`: whatever becomes of us, no process is left in there.
        return await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *(sys.executable, str(LAUNCH), str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )

    async def run(self, *command: str) -> Ran:
        """Run a command beside the daemon, as a health check is."""
        process = await self._launch(command, asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), START_SECONDS)
        assert process.returncode is not None
        return Ran(process.returncode, output.decode())

    async def check_health(self) -> Ran:
        """Ask as the image's own health check does."""
        kind, *command = self.image.settings["Healthcheck"]["Test"]
        assert kind == "CMD"
        return await self.run(*command)

    async def stop(self) -> int:
        """Send the daemon the image's stop signal, as its process 1; gives its exit code."""
        assert self.process is not None
        os.kill(child_of(self.process.pid), signal.Signals[self.image.settings["StopSignal"]])
        return await asyncio.wait_for(self.process.wait(), END_SECONDS)

    async def close(self) -> None:
        """Kill what still runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def child_of(pid: int) -> int:
    """The one child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8"))
