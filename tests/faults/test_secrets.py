"""X2: what was planted as a secret is read nowhere; a web page and the ops port change nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from multidict import CIMultiDict

from tests.faults.experiment import Experiment, configuration
from tests.faults.stranger import port_of, request, say
from tests.faults.upstream import Hit
from tests.waiting import wait_until

pytestmark = pytest.mark.unhurried

MARK = "PLANTED"
TOKEN = f"{MARK}-token-0123456789"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
WORDS = {
    "configured": f"Bearer {MARK}-configured-01234",
    "file": f"{MARK}-file-0123456789",
    "environment": f"{MARK}-environment-01234",
    "query": f"{MARK}-query-0123456789",
    "item": f"{MARK}-item-header-01234",
}
VARIABLES = {
    "TIRELESSD_QUEUES__WORK__HANDLER__HEADERS__X_VARIABLE": WORDS["environment"],
    f"{MARK}_UNRELATED": f"{MARK}-unrelated",
}
BROKEN: Mapping[str, Any] = {
    "url with a user": {"url": f"http://user:{MARK}@127.0.0.1:9/"},
    "url of another scheme": {"url": f"ftp://{MARK}:9/{MARK}"},
    "header of two lines": {"headers": {"x-key": f"{MARK}\nX: {MARK}"}},
    "header that is a list": {"headers": {"x-key": [MARK]}},
    "header that is a number": {"headers": [MARK]},
    "unknown setting": {"passwrd": MARK},
}


def secretive(experiment: Experiment, **handler: Any) -> dict[str, Any]:
    """A configuration with a secret wherever one may stand."""
    secret_file = experiment.folder / "secret"
    secret_file.write_text(WORDS["file"] + "\n")
    headers = {
        "authorization": WORDS["configured"],
        "x-file": {"file": str(secret_file)},
        "x-variable": "to be replaced",
    }
    url = f"{experiment.upstream.url}path?key={WORDS['query']}"
    own = {"url": url, "headers": headers, "forward_headers": ["x-tenant"], **handler}
    return {
        "auth": {"tokens": [{"name": "t", "sha256": DIGEST, "scopes": ["submit", "read"]}]},
        "log": {"level": "debug"},
        "queue": {"handler": own, "retry": {"max_attempts": 2}},
    }


async def repeat_request(hit: Hit) -> web.Response:
    """An error page that shows the request it is about, as many do."""
    shown = " ".join(f"{name}={value}" for name, value in hit.headers.items())
    return web.Response(status=500, text=shown[:400] + WORDS["query"], reason="Internal Error")


async def repeat_long(hit: Hit) -> web.Response:
    """The same, its words cut off wherever the daemon stops to read."""
    secrets = " ".join([*WORDS.values()][:4])
    return web.Response(status=403, text=f"{hit.key} {secrets} " * 50)


async def pages(experiment: Experiment, item_ids: list[str], token: str = TOKEN) -> str:
    """Everything that the API and the ops listener show of these items and of themselves."""
    ops, own = experiment.daemon.urls["ops"], {"Authorization": f"Bearer {token}"}
    urls = [
        ops + path for path in ("/metrics", "/statusz", "/scalez", "/readyz", "/livez", "/startupz")
    ]
    paths = ("/v1/queues", "/v1/queues/work", "/v1/queues/work/items", "/v1/dead-letters")
    urls += [experiment.url(path) for path in (*paths, "/openapi.json", "/nowhere")]
    urls += [experiment.url(f"/v1/items/{item_id}") for item_id in item_ids]
    async with aiohttp.ClientSession(headers=own) as session:
        texts = []
        for url in urls:
            async with session.get(url) as response:
                texts.append(await response.text())
    return "\n".join(texts)


async def run_check(
    experiment: Experiment, name: str, changes: Mapping[str, Any], variables: Mapping[str, str]
) -> tuple[int, str]:
    """What `tirelessd check` says of a configuration, on both of its outputs."""
    config = configuration(experiment.folder, experiment.upstream.url, **changes)
    path = experiment.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(dict(config)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tirelessd", "check", "--config", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **variables},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.row("X2")
async def test_secrets_are_read_nowhere(experiment: Experiment) -> None:
    """Not in the log, metrics, items, errors or probes, though an upstream repeats them."""
    upstream = experiment.upstream
    upstream.keeps_headers = True
    upstream.script |= {"repeat": repeat_request, "long": repeat_long}
    daemon = await experiment.start(environment=VARIABLES, **secretive(experiment))
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Tenant": WORDS["item"]}
    words = ("repeat", "long", "ok")
    async with aiohttp.ClientSession(headers=headers) as session:
        entries = [
            await experiment.ledger.submit(session, experiment.url(), word) for word in words
        ]
        ids = [entry.item_id for entry in entries]

        async def have_ended() -> bool:
            urls = [experiment.url(f"/v1/items/{item_id}") for item_id in ids]
            answers = [await (await session.get(url)).json() for url in urls]
            return all(answer["finished_at"] for answer in answers)

        await wait_until(have_ended, 10)
        await upstream.close()
        entry = await experiment.ledger.submit(session, experiment.url(), "refused")
        ids.append(entry.item_id)
        await wait_until(have_ended, 10)
    said = await pages(experiment, ids)
    assert await experiment.stop() == 0

    sent = CIMultiDict(upstream.hits[0].headers)
    assert sent["Authorization"] == WORDS["configured"]
    assert (sent["X-File"], sent["X-Variable"]) == (WORDS["file"], WORDS["environment"])
    assert "**********" in said
    assert MARK not in said
    assert [line for line in daemon.lines if MARK in str(line)] == []
    assert MARK not in "".join(daemon.stray_output)
    assert DIGEST not in said + str(daemon.lines)


@pytest.mark.row("X2")
async def test_check_masks_what_it_prints_and_what_it_refuses(experiment: Experiment) -> None:
    """The effective configuration without its secrets; of a bad one the setting, not the value."""
    bad = {name: secretive(experiment, **change) for name, change in BROKEN.items()}

    code, said = await run_check(experiment, "good", secretive(experiment), VARIABLES)
    refusals = await asyncio.gather(
        *(run_check(experiment, name, changes, {}) for name, changes in bad.items())
    )

    assert code == 0
    assert "authorization" in said
    assert MARK not in said
    assert DIGEST not in said
    for name, (refused, line) in zip(bad, refusals, strict=True):
        assert refused == 2, name
        assert "queues.work.handler" in line, name
        assert MARK not in line, name


@pytest.mark.row("X2")
async def test_web_page_and_ops_listener_change_nothing(experiment: Experiment) -> None:
    """What a browser sends for a page is refused; the ops port has nothing but GET."""
    daemon = await experiment.start()
    api, ops = (port_of(daemon.urls[name]) for name in ("api", "ops"))
    pages = ("Origin: http://evil.example", "Origin: null", f"Origin: http://127.0.0.1:{api}")
    calls = (
        ("POST", "/v1/queues/work/items"),
        ("POST", "/v1/queues/work/batch"),
        ("POST", "/v1/queues/work/pause"),
        ("POST", "/v1/dead-letters/redrive"),
        ("DELETE", "/v1/dead-letters?all=true"),
        ("DELETE", "/v1/items/x"),
    )
    paths = (
        "/metrics",
        "/livez",
        "/readyz",
        "/startupz",
        "/statusz",
        "/scalez",
        "/",
        "/debug",
        "/v1/queues",
    )

    by_pages = [
        await say(api, request(b"", page, "Content-Type: text/plain", method=method, path=path))
        for method, path in calls
        for page in pages
    ]
    on_ops = [
        await say(ops, request(b"", method=method, path=path))
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
        for path in paths
    ]

    assert {tuple(heard.codes) for heard in by_pages} == {("cross_origin",)}
    assert {tuple(heard.statuses) for heard in by_pages} == {(403,)}
    assert {tuple(heard.statuses) for heard in on_ops} == {(404,), (405,)}
    assert b"Access-Control" not in b"".join(heard.raw for heard in (*by_pages, *on_ops))
    await experiment.finish(kills=0)
