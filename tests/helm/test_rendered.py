"""What the chart renders is valid: for Helm, for Kubernetes, and for the daemon that reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import helm_python
import kubernetes_validate
import msgspec
import pytest
import yaml

from tests.helm import crds
from tests.helm.chart import FOLDER, NAMESPACE, Values, configuration, notes, of_kind, render, the
from tests.helm.values import PLAIN, SETS, TOKEN
from tirelessd import __version__
from tirelessd.cli import program

# The oldest that is still looked after, the newest, and the one between them.
KUBERNETES = ("1.35", "1.36", "1.37")
# Of the kinds that Kubernetes itself does not have.
FOREIGN = {"HTTPRoute", *crds.KINDS}
DIGEST = "0123456789abcdef" * 4

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS)


@every_set
def test_helm_finds_nothing_to_complain_of(values: Values) -> None:
    """Not even what it would only warn of; that there is no icon it may mention."""
    found = helm_python.lint(FOLDER, dict(values), strict=True, namespace=NAMESPACE)

    remarks = {message["error"] for message in found["messages"]} - {"icon is recommended"}
    assert (found["errors"], remarks) == ([], set())


@cache
def validated(manifest: bytes, version: str) -> str:
    """The version by whose schemas the object is valid; once for all sets that have it alike."""
    decoded = msgspec.json.decode(manifest)
    taken_by: str = kubernetes_validate.validate(decoded, version, strict=True)
    return taken_by


@every_set
def test_kubernetes_takes_every_object(values: Values) -> None:
    """By the schemas of three minor versions, where an unknown field is an error."""
    manifests = [each for each in render(values) if each["kind"] not in FOREIGN]

    checked = [
        validated(msgspec.json.encode(manifest), version)
        for manifest in manifests
        for version in KUBERNETES
    ]

    assert checked == list(KUBERNETES) * len(manifests)
    assert len(manifests) >= 4


def with_secrets_in(folder: Path, text: str) -> str:
    """The configuration with secrets found in the folder, where a pod has them mounted."""
    for path in ("shop-tokens/shop", "models/key"):
        secret = folder / path
        secret.parent.mkdir(exist_ok=True)
        secret.write_text(DIGEST, encoding="ascii")
    (folder / "url").write_text("postgresql://tirelessd:hush@db/tirelessd\n", encoding="ascii")
    text = text.replace("/etc/tirelessd/store", str(folder))
    return text.replace("/etc/tirelessd/secrets", str(folder))


@every_set
def test_the_daemon_takes_its_configuration(
    values: Values, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `tirelessd check` does, with the secrets where the pod would have them."""
    settings = yaml.safe_load(with_secrets_in(tmp_path, configuration(render(values))))
    path = tmp_path / "tirelessd.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    code = program.run(["check", "--config", str(path)])

    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    assert yaml.safe_load(said.out)["drain_seconds"] == values.get("drainSeconds", 30)


def test_numbers_stay_as_they_are_written() -> None:
    """Ten million is not 1e+07, which would be text to who reads it next."""
    text = configuration(render(SETS["queues"]))

    assert "capacity_items: 10000000\n" in text


@every_set
def test_the_notes_tell_how_to_begin(values: Values) -> None:
    """A queue that there is, the address of the Service, and whether tokens are asked for."""
    told, settings = notes(values), yaml.safe_load(configuration(render(values)))
    service = of_kind(render(values), "Service")[0]

    address = f"{service['metadata']['name']}.{NAMESPACE}:{service['spec']['ports'][0]['port']}"
    assert f"http://{address}/v1/queues/{min(settings['queues'])}/items" in told
    assert ("Callers need no token" in told) == (settings["auth"] == "none")
    assert ("Authorization: Bearer" in told) == (settings["auth"] != "none")


def test_the_notes_warn_who_opens_the_door_but_not_the_policy() -> None:
    """An Ingress in another namespace is kept out by default, which looks like a timeout."""
    told = notes({**PLAIN, "ingress": {"enabled": True, "hosts": ["work.example"]}})

    assert "networkPolicy.intake.from" in told
    assert "networkPolicy.intake.from" not in notes(PLAIN)


def test_a_changed_configuration_changes_the_pods() -> None:
    """Or they would go on with the old one until they end for some other reason."""
    workload = the(render(PLAIN), "StatefulSet")
    changed = the(render({**PLAIN, "config": {"log": {"level": "debug"}}}), "StatefulSet")

    sums = [
        each["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for each in (workload, changed)
    ]
    assert sums[0] != sums[1]


def test_an_upgrade_of_the_chart_alone_leaves_pods_running() -> None:
    """No label or annotation of a pod has the chart's version in it."""
    pod = the(render(PLAIN), "StatefulSet")["spec"]["template"]["metadata"]

    assert "helm.sh/chart" not in pod["labels"]


def test_the_chart_is_of_the_program_s_version() -> None:
    """The image that it asks for by default is the one that this source makes."""
    chart = yaml.safe_load((FOLDER / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["appVersion"] == __version__


def test_the_token_of_these_sets_is_a_reference() -> None:
    """The sets show how it is done, so they hold no digest either."""
    assert set(TOKEN["sha256"]) == {"file"}
