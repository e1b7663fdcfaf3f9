"""The stage: `LIVE` is `short` (the default) or `long`, as `make observe` has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live import report
from tests.live.stage import IS_LONG, Scene, Stage


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the matrix of all faults in the short form."""
    matrix = Path(__file__).with_name("test_matrix.py")
    left_out = [each for each in items if each.path == matrix and not IS_LONG]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [each for each in items if each not in set(left_out)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """One for all tests of a module; the scenes of all that were picked are played at once."""
    async with Stage(tmp_path_factory.mktemp("stage")) as running:
        running.begin(scenes_of(request))
        yield running
        if IS_LONG:
            report.add(await running.all_seen())


def scenes_of(request: pytest.FixtureRequest) -> list[Scene]:
    """What those tests of the module ask for that were picked."""
    picked = [
        item.callspec.params.get("scene")
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.module is request.module
        and hasattr(item, "callspec")
    ]
    return [each for each in picked if isinstance(each, Scene)]
