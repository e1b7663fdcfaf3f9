"""The image as it is built and run: the same every time, by nobody, and without a loss."""

from __future__ import annotations

import importlib.util
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.image.container import CONFIG, DATA, Container, Image
from tests.image.launch import Mount
from tests.image.tree import Entry, read_tree, weigh
from tests.live.server import free_port
from tests.waiting import wait_until
from tirelessd import __version__
from tirelessd.cli.demonstration.client import Client
from tirelessd.cli.demonstration.predictions import HOPELESS_ITEM, PredictionServer
from tirelessd.cli.demonstration.process import Addresses
from tirelessd.cli.demonstration.story import Plan, configuration
from tirelessd.cli.demonstration.summary import compare
from tirelessd.core.clock import SystemClock

ROOT = Path(__file__).parents[2]
PYTHON = "/opt/tirelessd/bin/python"
MEBIBYTE = 2**20
ENOUGH_BYTES = 110 * MEBIBYTE
PATIENCE_SECONDS = 60.0
UNCHECKED_HASH = 1
# Every folder of the image is tried, for a policy that is believed is not a policy that holds.
TRY_TO_WRITE = """
import os
for folder, _, _ in os.walk("/"):
    if not folder.startswith(("/proc", "/sys")):
        try:
            open(os.path.join(folder, ".trial"), "w").close()
            print(folder)
        except OSError:
            pass
"""
SHOW_PRIVILEGES = """
wanted = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs")
print(*(line.strip() for line in open("/proc/self/status") if line.startswith(wanted)), sep="\\n")
"""


@pytest.fixture(scope="session")
def tree(image: Image) -> dict[str, Entry]:
    """Every file of the image."""
    return read_tree(image.root)


@pytest.fixture
async def server() -> AsyncIterator[PredictionServer]:
    """The demo's flaky upstream."""
    server = PredictionServer(seed=1, failure_rate=0.1, clock=SystemClock())
    async with server.serving():
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A caller."""
    async with aiohttp.ClientSession() as session:
        yield session


def serve_the_demo(container: Container, server: PredictionServer) -> None:
    """Configure what the demo does, with a port that a health check can know."""
    config = configuration(Plan(), server.url, DATA) | {"ops": {"port": free_port()}}
    container.configure(config)


async def wait_ended(client: Client, items: int) -> None:
    """Return once the daemon that is running has ended so many items."""

    async def is_over() -> bool:
        return (await client.counters()).total("items_completed") >= items

    await wait_until(is_over, PATIENCE_SECONDS)


def test_two_builds_are_the_same(image: Image, second_image: Image) -> None:
    """From a folder without a network, and from the index: the same files, and the same layers."""
    trees = [read_tree(each.root) for each in (image, second_image)]

    different = {
        path: (trees[0].get(path), trees[1].get(path))
        for path in trees[0].keys() | trees[1].keys()
        if trees[0].get(path) != trees[1].get(path)
    }

    assert different == {}
    assert image.about["rootfs"]["diff_ids"] == second_image.about["rootfs"]["diff_ids"]


def test_image_says_how_it_is_run(image: Image) -> None:
    """Its user is a number, its stop signal drains, its health is asked for, its labels true."""
    settings = image.settings

    labels = {name.rpartition(".")[2]: text for name, text in settings["Labels"].items()}

    assert settings["User"] == "65532:65532"
    assert settings["StopSignal"] == "SIGTERM"
    assert list(settings["Volumes"]) == [DATA]
    assert settings["Healthcheck"]["Test"][1:3] == ["/opt/tirelessd/bin/tirelessd", "healthcheck"]
    assert (labels["title"], labels["version"]) == ("tirelessd", __version__)
    assert len(labels["revision"]) == 40
    assert f"TIRELESSD_REVISION={labels['revision']}" in settings["Env"]
    assert labels["created"].startswith("20")


def test_nothing_is_left_of_the_build(tree: dict[str, Entry]) -> None:
    """No installer, no wheel, no cache and no source folder is in the image."""
    litter = {".whl", ".cache", "pip", "tools", "wheels", "source", "dist", "requirements"}

    ours = {path for path in tree if path.startswith("opt/") or "/" not in path}

    assert {path for path in ours if Path(path).name in litter} == set()
    assert {path for path in ours if path.endswith((".whl", ".lock"))} == set()


def test_only_the_data_is_the_users(image: Image, tree: dict[str, Entry]) -> None:
    """The user owns the data folder alone; else it may write where everybody may."""
    user, group = map(int, image.settings["User"].split(":"))

    owned = {path for path, entry in tree.items() if user == entry.user or group == entry.group}
    writable = {path for path, entry in tree.items() if entry.may_be_written_by(user, group)}
    for_everybody = {path for path in writable if tree[path].mode & stat.S_ISVTX}

    assert owned == {DATA.lstrip("/")}
    assert writable - for_everybody == owned


def test_all_bytecode_is_there_and_trusted(tree: dict[str, Entry], image: Image) -> None:
    """Each module of ours has bytecode that is used without a look at the module."""
    modules = {path for path in tree if path.startswith("opt/") and path.endswith(".py")}

    flags = {path: int.from_bytes(bytecode_of(image.root, path)[4:8], "little") for path in modules}

    assert len(modules) > 1_000
    assert {path for path, flag in flags.items() if flag != UNCHECKED_HASH} == set()


def bytecode_of(root: Path, module: str) -> bytes:
    """What was compiled of a module; nothing where it was not."""
    path = root / importlib.util.cache_from_source(module)
    return path.read_bytes() if path.exists() else b""


def test_image_is_small(tree: dict[str, Entry]) -> None:
    """What is added to the base takes at most 110 MiB, not compressed."""
    added = {path: entry for path, entry in tree.items() if path.startswith("opt/")}

    weights = weigh(added)

    print({kind: f"{size / MEBIBYTE:.1f} MiB" for kind, size in weights.items()})  # noqa: T201
    assert 0 < weights.total() <= ENOUGH_BYTES, weights


async def test_nothing_else_can_be_written(container: Container) -> None:
    """In a container, no folder but that of the data takes a file."""
    ran = await container.run(PYTHON, "-c", TRY_TO_WRITE)

    assert ran.output.split() == [DATA]


async def test_container_has_no_privilege(container: Container) -> None:
    """The program runs as a number without groups, capabilities or a way to any."""
    ran = await container.run(PYTHON, "-c", SHOW_PRIVILEGES)

    shown = dict(line.split(":\t") for line in ran.output.replace(":\n", ":\t\n").splitlines())
    assert set(shown["Uid"].split()) == set(shown["Gid"].split()) == {"65532"}
    assert {int(shown[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0}
    assert (shown["Groups"].strip(), shown["NoNewPrivs"]) == ("", "1")


async def test_demo_flows_through_it(
    container: Container, server: PredictionServer, session: aiohttp.ClientSession
) -> None:
    """A hundred predictions and a flaky server: the books agree, and SIGTERM ends with 0."""
    serve_the_demo(container, server)
    client = Client(session, await container.start())

    await client.submit(range(1, 101))
    await wait_ended(client, 100)
    letters = await client.dead_letters()
    books = compare(client.accepted, await client.counters(), letters, server.tally)
    code = await container.stop()

    assert [entry for entry in books if not entry.agrees] == []
    assert [letter.item for letter in letters] == [HOPELESS_ITEM]
    assert code == 0


async def test_health_is_seen_from_outside(container: Container, server: PredictionServer) -> None:
    """The image's health check ends with 1 before the daemon is there and after, with 0 between."""
    serve_the_demo(container, server)

    before = await container.check_health()
    await container.start()
    between = await container.check_health()
    await container.stop()
    after = await container.check_health()

    assert (before.code, between.code, after.code) == (1, 0, 1)
    assert "does not answer" in after.output


async def test_next_container_goes_on(
    container: Container, server: PredictionServer, session: aiohttp.ClientSession
) -> None:
    """What a drained container has not ended, the next one on its volume does; nothing is lost."""
    serve_the_demo(container, server)
    client = Client(session, await container.start())
    numbers = range(101, 301)

    await client.submit(numbers)
    code = await container.stop()
    ended = set(server.tally.predicted)
    addresses = await container.start()
    await wait_succeeded(session, addresses, len(numbers))

    assert code == 0
    assert 0 < len(ended) < len(numbers)
    assert server.tally.predicted == set(numbers)


async def wait_succeeded(session: aiohttp.ClientSession, addresses: Addresses, items: int) -> None:
    """Return once so many items have succeeded, in whatever container."""
    url = f"{addresses.api}/v1/queues/predictions/items?state=succeeded&limit=1000"

    async def is_over() -> bool:
        async with session.get(url) as response:
            return len((await response.json())["items"]) == items

    await wait_until(is_over, PATIENCE_SECONDS)


async def test_missing_configuration_is_named(container: Container) -> None:
    """Without a configuration the image's own command ends with 2, and names the file it wants."""
    settings = container.image.settings

    ran = await container.run(*settings["Entrypoint"], *settings["Cmd"])

    assert ran.code == 2
    assert CONFIG in ran.output


async def test_handlers_are_put_in(container: Container, session: aiohttp.ClientSession) -> None:
    """A module in /opt/handlers is called, and stands behind all that the image brought."""
    container.mounts.append(Mount(str(ROOT / "examples"), "/opt/handlers"))
    container.configure(
        {
            "store": f"sqlite://{DATA}/tirelessd.db",
            "api": {"port": 0},
            "ops": {"port": 0},
            "log": {"format": "json"},
            "queues": {"words": {"handler": {"type": "python", "function": "words:count_words"}}},
        }
    )
    addresses = await container.start()

    result = await submit(session, addresses, b"to be or not to be")
    path = await container.run(PYTHON, "-c", "import sys; print(sys.path[-1])")

    assert msgspec.json.decode(result) == {"to": 2, "be": 2, "or": 1, "not": 1}
    assert path.output.strip() == "/opt/handlers"


async def submit(session: aiohttp.ClientSession, addresses: Addresses, payload: bytes) -> bytes:
    """Submit an item to the queue `words`; gives its result."""
    url = f"{addresses.api}/v1/queues/words/items"
    async with session.post(url, data=payload, headers={"Content-Type": "text/plain"}) as response:
        item = await response.json()

    async def has_result() -> bool:
        async with session.get(f"{addresses.api}/v1/items/{item['id']}") as response:
            return bool((await response.json())["state"] == "succeeded")

    await wait_until(has_result, PATIENCE_SECONDS)
    async with session.get(f"{addresses.api}/v1/items/{item['id']}/result") as response:
        return await response.read()
