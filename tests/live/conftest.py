"""The stage: `LIVE` is `short` (the default) or `long`, as `make observe` has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.live.stage import Scene, Stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """One for all tests of a module; the scenes of all that were picked are played at once."""
    async with Stage(tmp_path_factory.mktemp("stage")) as running:
        running.begin(scenes_of(request))
        yield running


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
