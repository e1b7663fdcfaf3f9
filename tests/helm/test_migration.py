"""The Job that brings the schema up comes before the release, and needs nothing of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.helm.chart import Manifest, Values, configuration, is_hook, of_kind, pods, render, the
from tests.helm.values import DATABASE, PLAIN, SETS
from tirelessd.cli.commands import app

OWNER = {"name": "shop-owner", "key": "owner"}
SHARED = {name: values for name, values in SETS.items() if "postgresql" in values.get("store", {})}
every_shared = pytest.mark.parametrize("values", SHARED.values(), ids=SHARED)


def with_migration(**migration: Any) -> Values:
    """Pods on a database, with these values of the Job."""
    return {**PLAIN, "store": {"postgresql": {**DATABASE["postgresql"], "migration": migration}}}


def brought_along(manifests: list[Manifest]) -> list[Manifest]:
    """What is made before anything else of the release."""
    return [each for each in manifests if is_hook(each) and each["kind"] != "Pod"]


def weight(manifest: Manifest) -> int:
    """When a hook has its turn: the lowest first."""
    return int(manifest["metadata"]["annotations"]["helm.sh/hook-weight"])


@every_shared
def test_the_job_finds_all_that_it_needs(values: Values) -> None:
    """What it reads comes before it, or is there already: nothing is of the release itself."""
    manifests = render(values)
    job = the(manifests, "Job")
    before = {
        each["metadata"]["name"]
        for each in brought_along(manifests)
        if each["kind"] == "ConfigMap" and weight(each) < weight(job)
    }
    later = {each["metadata"]["name"] for each in manifests if not is_hook(each)}

    pod = job["spec"]["template"]["spec"]
    read = {
        volume["configMap"]["name"]
        for volume in pod["volumes"]
        if "configMap" in volume and volume not in values.get("volumes", [])
    }

    assert read == before
    assert pod["serviceAccountName"] not in later
    assert not read & later


@every_shared
def test_the_job_reads_the_configuration_of_the_pods(values: Values) -> None:
    """So one that is wrong ends an upgrade before the first pod is replaced by it."""
    manifests = render(values)
    (own,) = of_kind(brought_along(manifests), "ConfigMap")

    assert own["data"]["tirelessd.yaml"] == configuration(manifests)


@every_shared
def test_pods_change_no_tables(values: Values) -> None:
    """That is the Job's, which may be another user of the database than they are."""
    settings = yaml.safe_load(configuration(render(values)))

    assert settings["store_postgresql"]["migrate_at_start"] is False


def test_the_job_ends_and_is_cleared_away() -> None:
    """Its tries and its time are bounded, a mistake is not tried again, and no success stays."""
    job = the(render(with_migration(deadlineSeconds=90)), "Job")

    spec = job["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (4, 90)
    assert spec["ttlSecondsAfterFinished"] == 86_400
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    (container,) = spec["template"]["spec"]["containers"]
    codes = {"containerName": container["name"], "operator": "In", "values": [2]}
    assert rule == {"action": "FailJob", "onExitCodes": codes}
    notes = job["metadata"]["annotations"]
    assert notes["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_the_job_runs_a_command_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """With the option that it is given."""
    (container,) = the(render(with_migration()), "Job")["spec"]["template"]["spec"]["containers"]
    command, option = container["args"]

    app([command, "--help"], prog_name="tirelessd", standalone_mode=False)

    assert option.partition("=")[0] in capsys.readouterr().out


def test_the_job_may_be_another_user() -> None:
    """Its URL is then that of a Secret of its own, also past a pooler; the pods keep theirs."""
    direct = {"store_postgresql": {"direct_url": {"file": "/etc/tirelessd/secrets/direct/url"}}}
    manifests = render({**with_migration(secret=OWNER), "config": direct})
    (own,) = of_kind(brought_along(manifests), "ConfigMap")

    told = yaml.safe_load(own["data"]["tirelessd.yaml"])
    mounted = the(manifests, "Job")["spec"]["template"]["spec"]["volumes"]

    assert told["store"] == {"file": "/etc/tirelessd/store/owner"}
    assert "direct_url" not in told["store_postgresql"]
    (store,) = [volume["secret"] for volume in mounted if volume["name"] == "store"]
    assert store["secretName"] == "shop-owner"
    theirs = yaml.safe_load(configuration(manifests))
    assert theirs["store"] == {"file": "/etc/tirelessd/store/url"}
    assert theirs["store_postgresql"]["direct_url"] == direct["store_postgresql"]["direct_url"]


def test_the_job_reaches_names_and_the_database_and_nobody_reaches_it() -> None:
    """Not even the upstreams: only what listens on the database's port."""
    (policy,) = of_kind(brought_along(render(with_migration())), "NetworkPolicy")

    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 5432}
    assert policy["spec"]["ingress"] == []
    assert "Ingress" in policy["spec"]["policyTypes"]


@pytest.mark.parametrize("values", [PLAIN, with_migration(enabled=False)], ids=["file", "off"])
def test_without_the_job_nothing_of_it_is_there(values: Values) -> None:
    """With a file, or switched off: then the first pod of a version brings the schema up."""
    manifests = render(values)

    assert brought_along(manifests) == []
    assert len(pods(manifests)) == 2
    assert "migrate_at_start" not in configuration(manifests)
