"""What a platform team would look for before it lets the chart into its cluster."""

from __future__ import annotations

import math
import re
from ipaddress import ip_address, ip_network
from itertools import filterfalse

import pytest
import yaml

from tests.helm.chart import (
    RELEASE,
    Manifest,
    Values,
    configuration,
    containers,
    is_hook,
    of_kind,
    pods,
    render,
    the,
    workloads,
)
from tests.helm.values import DATABASE, EVERYTHING, PLAIN, SETS

MARGIN_SECONDS = 5
# Of AWS, Azure, Google and most others; of AWS over IPv6; of Alibaba; of Azure's agent.
CREDENTIALS = (
    "169.254.169.254",
    "169.254.170.2",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
)
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS)


def selects(selector: dict[str, str], manifest: Manifest) -> bool:
    """Whether a selector finds the pods of a workload."""
    labels: dict[str, str] = manifest["spec"]["template"]["metadata"]["labels"]
    return selector.items() <= labels.items()


@every_set
def test_nothing_runs_as_root_or_can_become_it(values: Values) -> None:
    """The profile "restricted" of Pod Security, for every pod."""
    manifests = render(values)

    for pod in pods(manifests):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] >= 10_000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))
    for container in containers(manifests):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "runAsUser"} & context.keys()


@every_set
def test_no_pod_can_talk_to_the_cluster(values: Values) -> None:
    """None has a token, its account has none either, and no role is given to anybody."""
    manifests = render(values)

    assert all(pod["automountServiceAccountToken"] is False for pod in pods(manifests))
    accounts = of_kind(manifests, "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts)
    assert not of_kind(manifests, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


@every_set
def test_no_service_s_variables_reach_a_pod(values: Values) -> None:
    """A Service named tirelessd would set TIRELESSD_PORT, which is no setting: no start."""
    assert all(pod["enableServiceLinks"] is False for pod in pods(render(values)))


@every_set
def test_every_container_is_bounded(values: Values) -> None:
    """In processor time and memory; scratch space is bounded too."""
    manifests = render(values)

    for container in containers(manifests):
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert container["resources"]["requests"]
    scratch = [
        volume["emptyDir"]
        for pod in pods(manifests)
        for volume in pod.get("volumes", [])
        if volume["name"] == "tmp"
    ]
    assert all("sizeLimit" in each for each in scratch)
    assert len(scratch) == len(workloads(manifests)) + len(of_kind(manifests, "Job"))


@every_set
def test_every_image_is_one_and_the_same_and_named_exactly(values: Values) -> None:
    """What runs is told in one place of the values, and never as "latest"."""
    images = {container["image"] for container in containers(render(values))}

    (image,) = images
    assert re.fullmatch(r"[\w./-]+(:[\w.-]+|@sha256:[0-9a-f]{64})", image)
    assert not image.endswith(":latest")


@every_set
def test_each_probe_asks_its_own_question(values: Values) -> None:
    """At the ops listener; a restart is never the answer to what only readiness should tell."""
    for workload in workloads(render(values)):
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        asked = {
            probe: container[probe]["httpGet"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert asked == {
            "startupProbe": {"path": "/startupz", "port": "ops"},
            "livenessProbe": {"path": "/livez", "port": "ops"},
            "readinessProbe": {"path": "/readyz", "port": "ops"},
        }
        startup, live = container["startupProbe"], container["livenessProbe"]
        # A database that is away longer than that is no reason to end whoever waits for it.
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 3_600
        assert live["periodSeconds"] * live["failureThreshold"] >= 30
        assert "lifecycle" not in container, "the daemon waits by itself before it drains"


@every_set
def test_a_drain_has_the_time_it_takes(values: Values) -> None:
    """The grace period covers all waits and a margin, whatever the values say."""
    settings = yaml.safe_load(configuration(render(values)))
    waits = settings["pre_drain_seconds"] + settings["drain_seconds"]
    waits += settings["ops"]["last_scrape_seconds"]

    for workload in workloads(render(values)):
        grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace >= math.ceil(waits) + MARGIN_SECONDS


@every_set
def test_no_secret_is_in_the_clear(values: Values) -> None:
    """The chart makes no Secret and its configuration only says where secrets are."""
    manifests = render(values)

    assert not of_kind(manifests, "Secret")
    text = configuration(manifests)
    assert not re.search(r"\b[0-9a-f]{64}\b", text)
    assert not re.search(r"//[^/@\s]*:[^/@\s]*@", text)
    assert all(
        "value" not in variable or "SECRET" not in variable["name"].upper()
        for container in containers(manifests)
        for variable in container.get("env", [])
    )


@every_set
def test_selectors_find_what_they_should(values: Values) -> None:
    """Each workload its own pods and no other's; each Service, budget and policy some."""
    manifests = render(values)
    every = workloads(manifests)

    for workload in every:
        own = workload["spec"]["selector"]["matchLabels"]
        assert [each for each in every if selects(own, each)] == [workload]
    for service in of_kind(manifests, "Service"):
        found = [each for each in every if selects(service["spec"]["selector"], each)]
        ports = {port["targetPort"] for port in service["spec"]["ports"]}
        assert found
        for each in found:
            (container,) = each["spec"]["template"]["spec"]["containers"]
            assert ports <= {port["name"] for port in container["ports"]}
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        assert any(selects(budget["spec"]["selector"]["matchLabels"], each) for each in every)
    for policy in of_kind(manifests, "NetworkPolicy"):
        chosen = policy["spec"]["podSelector"]["matchLabels"]
        theirs = of_kind(manifests, "Job") if is_hook(policy) else every
        others = every if is_hook(policy) else of_kind(manifests, "Job")
        assert all(selects(chosen, each) for each in theirs)
        assert not any(selects(chosen, each) for each in others)


@every_set
def test_every_volume_is_there_and_used(values: Values) -> None:
    """What is mounted is a volume or a claim of the pod, and nothing is there for nothing."""
    for workload in workloads(render(values)):
        pod = workload["spec"]["template"]["spec"]
        claims = workload["spec"].get("volumeClaimTemplates", [])
        there = [
            *(volume["name"] for volume in pod["volumes"]),
            *(claim["metadata"]["name"] for claim in claims),
        ]
        mounted = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
        assert sorted(there) == sorted(mounted)
        assert len(set(there)) == len(there)
        assert all(NAME.fullmatch(name) for name in there)


@pytest.mark.parametrize("release", [RELEASE, "t" * 53, "tirelessd", "a.b"])
@every_set
def test_names_are_short_enough_for_everything(values: Values, release: str) -> None:
    """Whatever the release is called: also as a label, and with a pod's suffix behind it."""
    for manifest in render(values, name=release):
        name = manifest["metadata"]["name"]
        assert NAME.fullmatch(name), name
        if manifest["kind"] == "StatefulSet":
            # Its pods have a label with its name and a hash.
            assert len(name) <= 63 - len("-0123456789")


@every_set
def test_only_the_volume_and_scratch_space_can_be_written(values: Values) -> None:
    """The rest of what is mounted is read-only, but for what a user mounts."""
    own = {mount["name"] for mount in values.get("volumeMounts", [])}

    for workload in workloads(render(values)):
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        writable = {
            mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")
        }
        assert writable - own <= {"data", "tmp"}


def test_an_embedded_store_has_one_pod_and_keeps_its_volume() -> None:
    """On a volume that only one pod can mount and that outlives the release.

    An upgrade does not wait for a pod that a wrong configuration keeps from getting ready.
    """
    workload = the(render(PLAIN), "StatefulSet")

    assert workload["spec"]["replicas"] == 1
    assert workload["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert workload["spec"]["podManagementPolicy"] == "Parallel"
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_a_database_s_pods_are_replaced_one_by_one() -> None:
    """A new one is ready before an old one goes, and none has a volume."""
    workload = the(render(SETS["database by secret"]), "Deployment")

    assert workload["spec"]["replicas"] == 3
    assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_split_pods_do_one_thing_each() -> None:
    """Callers reach those that accept, and those that attempt have no port for callers."""
    manifests = render(SETS["split"])
    accept, attempt = workloads(manifests)

    sizes = [each["spec"]["replicas"] for each in (accept, attempt)]
    assert sizes == [2, 6]
    intake = of_kind(manifests, "Service")[0]["spec"]["selector"]
    assert [selects(intake, each) for each in (accept, attempt)] == [True, False]
    roles = [
        each["spec"]["template"]["spec"]["containers"][0]["args"][-1] for each in (accept, attempt)
    ]
    assert roles == ["--role=intake", "--role=slots"]


@pytest.mark.parametrize("address", CREDENTIALS)
def test_credentials_of_clouds_are_out_of_reach(address: str) -> None:
    """Attempts may go anywhere by default, but not where a cloud tells a node's secrets."""
    rules = the(render(PLAIN), "NetworkPolicy")["spec"]["egress"]

    assert not any(reaches(rule, address) for rule in rules)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1"])
def test_other_addresses_are_within_reach(address: str) -> None:
    """Of pods, of machines beside the cluster, and of the rest of the world."""
    rules = the(render(PLAIN), "NetworkPolicy")["spec"]["egress"]

    assert any(reaches(rule, address) for rule in rules)


def test_upstreams_in_the_cluster_are_within_reach_by_their_labels() -> None:
    """Networks that know pods by labels let nothing through to them for an address."""
    rules = the(render(PLAIN), "NetworkPolicy")["spec"]["egress"]

    (upstreams,) = [rule for rule in rules if "ports" not in rule]
    assert {"namespaceSelector": {}} in upstreams["to"]


def test_nothing_goes_to_the_database_by_a_rule_that_names_nobody() -> None:
    """A rule with an empty list of peers would let it out to everybody."""
    policy: Values = {"database": {"to": []}, "upstreams": {"to": []}}
    manifests = render({**PLAIN, "store": DATABASE, "networkPolicy": policy})

    for each in of_kind(manifests, "NetworkPolicy"):
        rules = each["spec"]["egress"]
        assert all(rule["to"] for rule in rules)
        assert {port["port"] for rule in rules for port in rule["ports"]} == {53}


def test_names_are_resolved_through_a_cache_on_the_node() -> None:
    """Its address is link-local, and nothing but names is asked for there."""
    rules = the(render(PLAIN), "NetworkPolicy")["spec"]["egress"]

    (rule,) = [rule for rule in rules if reaches(rule, "169.254.20.10")]
    assert {port["port"] for port in rule["ports"]} == {53}


def reaches(rule: Manifest, address: str) -> bool:
    """Whether a rule of the policy lets packets to an address."""
    blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
    target = ip_address(address)
    return any(
        target in ip_network(block["cidr"])
        and not any(target in ip_network(without) for without in block.get("except", []))
        for block in blocks
    )


@every_set
def test_the_chart_s_own_test_is_let_in(values: Values) -> None:
    """To both ports, also where no caller and no Prometheus of the namespace is."""
    manifests = render(values)
    tester = the(manifests, "Pod")["metadata"]["labels"]

    for policy in filterfalse(is_hook, of_kind(manifests, "NetworkPolicy")):
        ports = {
            port["port"]
            for rule in policy["spec"]["ingress"]
            for peer in rule["from"]
            for port in rule["ports"]
            if peer.get("podSelector", {}).get("matchLabels") == tester
        }
        assert ports == {"http", "ops"}


def test_without_tokens_only_the_own_namespace_gets_in() -> None:
    """What asks for no token is not open to the whole cluster, let alone beyond."""
    manifests = render(PLAIN)

    intake = the(manifests, "NetworkPolicy")["spec"]["ingress"][0]
    assert intake == {"from": [{"podSelector": {}}], "ports": [{"port": "http", "protocol": "TCP"}]}
    assert not of_kind(manifests, "Ingress", "HTTPRoute")


def test_everything_switched_on_is_there() -> None:
    """Each part that can be switched on was rendered, so that the policies above looked at it."""
    kinds = {manifest["kind"] for manifest in render(EVERYTHING)}

    assert kinds >= {
        "ConfigMap",
        "HTTPRoute",
        "Ingress",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    }
