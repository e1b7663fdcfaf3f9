"""The README is true: its walk is walked, its configuration loads, its quotations are the code."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.waiting import a_moment
from tirelessd.cli.demonstration.process import Addresses, running_daemon
from tirelessd.settings import parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ITEM_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PATIENCE_SECONDS = 10.0


def blocks(kind: str, text: str = README) -> list[str]:
    """The code blocks of a kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text under a heading of the second level."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def steps() -> list[tuple[str, str]]:
    """The commands of the walk, each with the output that the README shows."""
    text = "".join(blocks("", section("A walk with curl")))
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def timeless(output: str) -> str:
    """The output without what differs from run to run: ids, instants, durations."""
    output = ITEM_ID.sub("<id>", output)
    output = re.sub(r'"20\d\d-[^"]*Z"', '"<instant>"', output)
    return re.sub(r'"duration_seconds": [\d.e-]+', '"duration_seconds": <seconds>', output).strip()


@pytest.fixture
async def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Addresses]:
    """What `make run` serves, on ports and a file of its own."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT / 'examples'}")
    config = yaml.safe_load((ROOT / "examples/tirelessd.yaml").read_text(encoding="utf-8"))
    own = {"store": f"sqlite://{tmp_path}/t.db", "api": {"port": 0}, "ops": {"port": 0}}
    async with running_daemon(tmp_path, config | own) as addresses:
        yield addresses


async def shell(command: str) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_shell(command, stdout=-1, stderr=-1)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    return output.decode()


async def shell_until(command: str, shown: str) -> str:
    """What a command prints; one that only looks is repeated until it shows what is expected."""
    output = await shell(command)
    is_look = not re.search(r" -d | --data| --json", command)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while is_look and timeless(output) != timeless(shown):
                await a_moment()
                output = await shell(command)
    return output


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
async def test_walk_can_be_walked(example: Addresses) -> None:
    """Every command of the walk prints what the README shows, ids and times aside."""
    real = {"http://127.0.0.1:8080": example.api, "http://127.0.0.1:9090": example.ops}
    walked = []

    for command, shown in steps():
        for its, ours in real.items():
            command = command.replace(its, ours)  # noqa: PLW2901  (the reader does the same)
        output = await shell_until(command, shown)
        walked.append((timeless(shown), timeless(output)))
        real |= dict(zip(ITEM_ID.findall(shown), ITEM_ID.findall(output), strict=False))

    assert len(walked) == 6
    assert [shown for shown, _ in walked] == [output for _, output in walked]


def test_configuration_is_valid() -> None:
    """The configuration that the README shows is accepted."""
    (text,) = blocks("yaml")

    settings = parse(yaml.safe_load(text))

    assert list(settings.queues) == ["predictions", "thumbnails"]


def test_one_line_switches_to_postgresql() -> None:
    """The line that goes stands in the configuration shown, and the one that comes is accepted."""
    (text,) = blocks("yaml")
    (change,) = blocks("diff", section("Configuration"))
    gone, come = (line[1:] for line in change.splitlines())

    before, after = parse(yaml.safe_load(text)), parse(yaml.safe_load(text.replace(gone, come)))

    assert (before.is_shared, after.is_shared) == (False, True)
    assert before.queues == after.queues


def test_handler_is_python() -> None:
    """The handler that the README shows compiles, and imports what the package offers."""
    handler = next(block for block in blocks("python") if "import Context" in block)

    compile(handler, "README.md", "exec")
    names = re.findall(r"\w+", handler.partition("import ")[2].partition("\n")[0])
    package = __import__("tirelessd")

    assert [name for name in names if not hasattr(package, name)] == []


@pytest.mark.parametrize("quotation", blocks("python", section("Retry is tenacity")))
def test_quotation_stands_in_the_policy(quotation: str) -> None:
    """What is quoted as the policy's code is the policy's code, line for line."""
    policy = (ROOT / "src/tirelessd/core/policy.py").read_text(encoding="utf-8")

    assert quotation in policy


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_link_leads_somewhere(target: str) -> None:
    """Every link into the repository has something at its end."""
    assert (ROOT / target).exists()
