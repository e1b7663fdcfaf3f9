"""docs/kubernetes.md says what works: its values render, its commands name what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import helm_python
import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from tests.helm.chart import FOLDER, configuration, of_kind, pods, render, the
from tests.helm.values import PLAIN
from tirelessd.cli.commands import app
from tirelessd.core.clock import SystemClock
from tirelessd.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
YAML = re.findall(r"```yaml\n# values\.yaml\n(.*?)```", PAGE, re.DOTALL)
MOVE = re.findall(r"```yaml\n# move\.yaml\n(.*?)```", PAGE, re.DOTALL)
INSTALLATIONS = re.findall(r"helm (?:install|upgrade) .*", PAGE)
SCRIPT = re.findall(r'python -c "\n(.*?)"\n', PAGE, re.DOTALL)


@pytest.mark.parametrize("text", YAML)
def test_values_of_the_page_render(text: str) -> None:
    """Each block with a queue as it is, and any other beside the shortest way to one."""
    values: dict[str, Any] = yaml.safe_load(text)
    if "queues" not in values.get("config", {}):
        values |= PLAIN

    manifests = render(values)

    assert of_kind(manifests, "StatefulSet", "Deployment")


@pytest.mark.parametrize("line", INSTALLATIONS)
def test_installations_of_the_page_work(line: str) -> None:
    """The chart is where the line says, and takes what it sets."""
    words = shlex.split(line.split("`", maxsplit=1)[0])
    assert (ROOT / words[3]).resolve() == FOLDER

    said = helm_python.parse_set_string(words[words.index("--set") + 1]) if "--set" in words else {}
    before = PLAIN if words[1] == "upgrade" else {}

    assert render({**before, **said}, name=words[2])


def test_names_of_the_page_are_those_of_its_installation() -> None:
    """The release `tirelessd` makes a pod, a claim and two Services of these names."""
    manifests = render(PLAIN, name="tirelessd")

    workload = the(manifests, "StatefulSet")["metadata"]["name"]
    claim = the(manifests, "StatefulSet")["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    services = [service["metadata"]["name"] for service in of_kind(manifests, "Service")]
    assert f"kubectl exec {workload}-0 " in PAGE
    assert f"`{claim}-{workload}-0`" in PAGE
    assert all(f"`{service}`" in PAGE for service in services)


def test_paths_of_the_page_are_those_of_the_pod() -> None:
    """Where secrets and the store are."""
    (pod, _) = pods(render({**PLAIN, "secrets": ["tirelessd-tokens"]}))
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}

    assert "/etc/tirelessd/secrets/tirelessd-tokens" in mounts
    assert "/var/lib/tirelessd" in mounts
    assert "/var/lib/tirelessd/tirelessd.db" in configuration(render(PLAIN))


def test_the_configuration_of_the_page_can_be_checked() -> None:
    """What it cuts out of the rendered ConfigMap is the daemon's configuration alone."""
    (script,) = re.findall(r"python3 -c '(.*?)'", PAGE)
    template = PAGE.split("--show-only ")[1].split()[0]
    rendered = yaml.safe_dump(the(render(PLAIN), "ConfigMap"))

    cut = subprocess.run(
        [sys.executable, "-c", script], input=rendered, capture_output=True, text=True, check=True
    )

    assert (FOLDER / template).is_file()
    assert yaml.safe_load(cut.stdout) == yaml.safe_load(configuration(render(PLAIN)))


def test_the_job_of_the_page_says_what_the_command_takes() -> None:
    """Kubernetes takes it, and the file is the one that the chart configures."""
    job = yaml.safe_load(*MOVE)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    url = "postgresql://user@host/database"
    arguments = [each.replace("$(DATABASE)", url) for each in container["args"]]

    kubernetes_validate.validate(job, "1.35", strict=True)
    with get_command(app).make_context("tirelessd", arguments) as context:
        name, command, rest = context.command.resolve_command(context, arguments)  # type: ignore[attr-defined]
        given = command.make_context(name, rest).params

    assert given["source"] in configuration(render(PLAIN))
    assert given["target"] == url


def test_the_job_of_the_page_runs_as_the_chart_s_pods_do() -> None:
    """As the same user with the same rights, in the same image, on the same claim."""
    pod = yaml.safe_load(*MOVE)["spec"]["template"]["spec"]
    manifests = render(PLAIN, name="tirelessd")
    ours, _ = pods(manifests)
    workload = the(manifests, "StatefulSet")
    (claim,) = workload["spec"]["volumeClaimTemplates"]

    (container,), (its,) = pod["containers"], ours["containers"]

    assert pod["securityContext"].items() <= ours["securityContext"].items()
    assert container["securityContext"] == its["securityContext"]
    assert container["image"] == its["image"]
    mounted = pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert mounted == f"{claim['metadata']['name']}-{workload['metadata']['name']}-0"


async def test_the_backup_of_the_page_is_one(tmp_path: Path) -> None:
    """Its script copies the file of a store that is at work, read-only, into one that is whole."""
    store = SqliteStore(tmp_path / "tirelessd.db", clock=SystemClock(), emit=lambda _event: None)
    await store.open()
    (script,) = SCRIPT

    exec(script.replace("/var/lib/tirelessd", str(tmp_path)), {})  # noqa: S102  (the page's own)
    await store.close()

    copy = apsw.Connection(str(tmp_path / "backup.db"))
    assert copy.execute("PRAGMA integrity_check").get == "ok"
