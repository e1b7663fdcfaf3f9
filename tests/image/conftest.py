"""The image, built twice; only behind `make image-test`, which has what that takes.

`IMAGE_BUILT` says that it is asked for. Bases and images stand in build/image.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.image.builder import BASES, Builder, fetch_wheels, secrets
from tests.image.container import Container, Image


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out whatever needs the image, unless it is asked for."""
    built = Path(__file__).with_name("test_built.py")
    left_out = [each for each in items if each.path == built and not os.environ.get("IMAGE_BUILT")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [each for each in items if each not in set(left_out)]


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    """A storage with both bases; afterwards nothing of it is left, and nothing is still mounted."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    builder = Builder(BASES / "storage")
    for name in ("base", "tools"):
        builder.take_in(BASES / f"{name}.tar")
    yield builder
    builder.close()
    assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == mounts


@pytest.fixture(scope="session")
def image(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built from a folder of wheels, with no network at all."""
    wheels = fetch_wheels(tmp_path_factory.mktemp("wheels"))
    builder.build("first", f"--build-context=wheels={wheels}", prefix=["unshare", "--net"])
    return Image(builder.unpack("first"), builder.inspect("first"))


@pytest.fixture(scope="session")
def second_image(builder: Builder) -> Image:
    """Built with what the index has, as anybody builds it first."""
    # Not among the folders that pytest keeps: pip may have been told a password.
    with tempfile.TemporaryDirectory() as folder:
        builder.build("second", *secrets(Path(folder)))
    return Image(builder.unpack("second"), builder.inspect("second"))


@pytest.fixture
async def container(image: Image, tmp_path: Path) -> AsyncIterator[Container]:
    """A container with an empty volume, not yet started."""
    container = Container(image, tmp_path)
    yield container
    await container.close()
