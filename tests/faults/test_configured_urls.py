"""X1: a destination is what configuration says; no item, answer or variable changes it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml

from tests.faults.experiment import Experiment, Scale
from tests.faults.raw_upstream import Canary, RawUpstream, answer
from tirelessd.cli import program

pytestmark = pytest.mark.unhurried

REFUSED = [
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://0/",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::ffff:0.0.0.0]/",
    "http://[fe80::1%25lo]/",
    "http://user:hunter2@models/",
    "http://models\\@evil/",
    "http://models#@evil/",
    "http://models:0/",
    "http://models:65536/",
    "http://models/\r\nHost: evil",
    "file:///etc/passwd",
    "gopher://models/",
    "ftp://models/",
    "unix:///run/docker.sock",
    "//models/",
]
# The operator's to choose: these are somebody's hosts, and each is written in one way.
TAKEN = [
    "http://127.0.0.1:22/",
    "http://[::1]:6379/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
]


def checked(folder: Path, url: str) -> int:
    """The exit code of `tirelessd check` for a configuration with this URL."""
    path = folder / "checked.yaml"
    queues = {"work": {"handler": {"type": "http", "url": url}}}
    path.write_text(yaml.safe_dump({"store": "sqlite:./items.db", "queues": queues}))
    return program.run(["check", "--config", str(path)])


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of ours would be settings of the daemon's."""
    for variable in [name for name in os.environ if name.startswith("TIRELESSD_")]:
        monkeypatch.delenv(variable)


@pytest.mark.row("X1")
@pytest.mark.parametrize("url", REFUSED)
def test_ambiguous_url_is_refused(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tirelessd check` exits 2 with one line that names the setting, and never a password."""
    code = checked(tmp_path, url)

    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) == (2, 1)
    assert "queues.work.handler.url: must" in lines[0]
    assert "hunter2" not in lines[0]


@pytest.mark.row("X1")
@pytest.mark.parametrize("url", TAKEN)
def test_clear_url_is_taken(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tirelessd check` shows the URL as it was written."""
    code = checked(tmp_path, url)

    assert code == 0
    assert url in capsys.readouterr().out


FOREIGN = {
    "Authorization": "Bearer not-for-upstreams",
    "Connection": "keep-alive, x-other",
    "Cookie": "session=1",
    "Host": "evil.test",
    "Keep-Alive": "timeout=1",
    "Proxy-Authorization": "Basic eA==",
    "Proxy-Connection": "keep-alive",
    "TE": "trailers",
    "Trailer": "X-Tenant",
    "Tirelessd-Item-Id": "forged",
    "Tirelessd-Attempt": "99",
    "Webhook-Id": "forged",
    "X-Forwarded-Host": "evil.test",
    "X-Other": "not allowed",
    "X-Tenant": "shop, a: b",
}
BROKEN_VALUES = [b"a\x00b", b"a\rb", b"a\x7fb", b"a\xff", "a\u2028b".encode(), b"a\x1bb"]
AS_WRITTEN = "/a%2Fb/../c//d;e?x=%2F&y=a+b&z=%41%zz&redirect=http://127.0.0.1/"


@pytest.mark.row("X1")
async def test_request_goes_where_it_is_configured_to(experiment: Experiment, scale: Scale) -> None:
    """URL, headers and body arrive as configured and as posted, proxies and cookies aside."""
    async with Canary() as canary, RawUpstream() as upstream:
        upstream.always = answer(200, b"ok", "Set-Cookie: mine=1; Path=/", "Location: /elsewhere")
        experiment.upstream = upstream
        proxy = f"http://{canary.address}"
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        handler = {"url": upstream.url.rstrip("/") + AS_WRITTEN, "forward_headers": ["x-tenant"]}
        await experiment.start(
            queue={"handler": handler}, environment=dict.fromkeys(names, proxy) | {"no_proxy": ""}
        )

        async with aiohttp.ClientSession() as session:
            for number in range(scale.pick(10, 200)):
                submitted = experiment.ledger.submit(
                    session, experiment.url(), "ok", size_bytes=2 ** (number % 20), **FOREIGN
                )
                assert (await submitted).status == 202
        statuses = [await status_of_raw(experiment.url(), value) for value in BROKEN_VALUES]
        books = await experiment.finish()

    assert statuses == [400] * len(BROKEN_VALUES)
    assert canary.connections == 0
    assert set(upstream.lines) == {f"POST {AS_WRITTEN} HTTP/1.1".encode()}
    for hit in books.hits:
        assert {name.lower() for name in hit.headers} == ALLOWED
        assert hit.headers["X-Tenant" if "X-Tenant" in hit.headers else "x-tenant"] == "shop, a: b"
        assert hit.headers["Host"] == urlsplit(upstream.url).netloc
        assert hit.headers["Tirelessd-Attempt"] == "1"


ALLOWED = {
    "accept",
    "accept-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "tirelessd-attempt",
    "tirelessd-item-id",
    "user-agent",
    "x-tenant",
}


async def status_of_raw(url: str, value: bytes) -> int:
    """The status of a submission with this value in a forwarded header, byte for byte."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Tenant: ".encode()
    writer.write(head + value + b"\r\n\r\nok")
    async with asyncio.timeout(5):
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])
