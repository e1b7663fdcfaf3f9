"""Values that cannot work are refused before anything is installed, each by its name."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
import yaml

from tests.helm.chart import configuration, render
from tests.helm.values import DATABASE, PLAIN, UPSTREAM

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "upstream.url: is missing"),
    ({"upstream": {"url": "models:8000"}}, "'/upstream/url'"),
    ({"upstream": {**UPSTREAM, "slots": 0}}, "'/upstream/slots'"),
    ({"upstream": {**UPSTREAM, "queue": "Not A Name"}}, "'/upstream/queue'"),
    (
        {**PLAIN, "config": {"queues": {"items": {"handler": {"type": "echo"}}}}},
        'upstream.queue: "items" stands under config.queues too',
    ),
    ({**PLAIN, "replica": 1}, "'replica'"),
    ({**PLAIN, "replicas": 2}, "replicas: 2 pods cannot share an embedded store"),
    ({**PLAIN, "split": {"enabled": True}}, "split.enabled: an embedded store cannot be split"),
    ({**PLAIN, "config": {"store": "sqlite:///x.db"}}, "config.store: is set by the chart"),
    ({**PLAIN, "config": {"ops": {"port": 1}}}, "config.ops: is set by the chart"),
    ({**PLAIN, "config": {"drain_seconds": 1}}, "config.drain_seconds: is set by the chart"),
    ({**PLAIN, "terminationGracePeriodSeconds": 69}, "terminationGracePeriodSeconds: 69 is too"),
    ({**PLAIN, "preDrainSeconds": 301}, "'/preDrainSeconds'"),
    ({**PLAIN, "drainSeconds": -1}, "'/drainSeconds'"),
    ({**PLAIN, "image": {"tag": "latest"}}, "'/image/tag'"),
    ({**PLAIN, "image": {"digest": "0123"}}, "'/image/digest'"),
    ({**PLAIN, "service": {"type": "ExternalName"}}, "'/service/type'"),
    ({**PLAIN, "ops": {"port": 80}}, "'/ops/port'"),
    ({**PLAIN, "ops": {"port": 8080}}, "ops.port: 8080 is where the pod's API listens"),
    ({**PLAIN, "fullnameOverride": "Not_A_Name"}, "'/fullnameOverride'"),
    ({**PLAIN, "fullnameOverride": "1st"}, "'/fullnameOverride'"),
    ({**PLAIN, "nameOverride": "a.b"}, "'/nameOverride'"),
    (
        {**PLAIN, "podLabels": {"app.kubernetes.io/component": "shop"}},
        "podLabels: app.kubernetes.io/component is what Services find pods by",
    ),
    (
        {**PLAIN, "config": {"queues": {"q": {"handler": {"headers": {"X-Api-Key": "hush"}}}}}},
        "config.queues.q.handler.headers.X-Api-Key: would be readable in a ConfigMap",
    ),
    (
        {**PLAIN, "config": {"tracing": {"headers": {"authorization": "Bearer hush"}}}},
        "config.tracing.headers.authorization: would be readable in a ConfigMap",
    ),
    (
        {**PLAIN, "store": {"postgresql": {"url": "mysql://u@db/x"}}},
        "'/store/postgresql/url'",
    ),
    (
        {
            **PLAIN,
            "store": {"postgresql": {"url": "postgresql://u@db", **DATABASE["postgresql"]}},
        },
        "store.postgresql.url: stands beside store.postgresql.secret",
    ),
    ({**PLAIN, "store": {"embedded": {"accessMode": "ReadWriteMany"}}}, "'/store/embedded/access"),
    ({**PLAIN, "ingress": {"enabled": True}}, "ingress.hosts: is empty"),
    ({**PLAIN, "httpRoute": {"enabled": True}}, "httpRoute.parentRefs: is empty"),
    ({**PLAIN, "secrets": ["Not_A_Name"]}, "'/secrets/0'"),
    ({**PLAIN, "secrets": ["models", "models"]}, "'/secrets'"),
]
WITH_PASSWORDS = (
    "postgresql://u:hush@db/x",
    "postgresql://u:hu/sh@db/x",
    "postgresql://u:hush?@db/x",
    "postgresql://:hush@db/x",
    "postgresql://u@db/x?password=hush",
    "postgresql://u@db/x?sslmode=verify-full&sslpassword=hush",
    "postgresql://u@db/x?PASSWORD=hush",
)
WITHOUT_PASSWORDS = (
    "postgresql://db/x",
    "postgresql://u@db:5432/x",
    "postgresql://u@one:5432,two:5432/x?target_session_attrs=primary",
    "postgresql://u@db/x?passfile=/etc/tirelessd/secrets/db/pgpass",
)


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[each[1] for each in REFUSED])
def test_bad_values_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    """The message says which value it is, and a password never gets into it."""
    with pytest.raises(helm_python.HelmError) as refused:
        render(values)

    assert message in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("url", WITH_PASSWORDS)
def test_a_password_in_a_url_is_refused_wherever_it_stands(url: str) -> None:
    """In front of the host or among the options: it would be readable in the ConfigMap."""
    with pytest.raises(helm_python.HelmError) as refused:
        render({**PLAIN, "store": {"postgresql": {"url": url}}})

    assert "store.postgresql.url: has a password" in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("url", WITHOUT_PASSWORDS)
def test_a_url_without_a_password_is_taken(url: str) -> None:
    """A port or an option is none, and a file that has one only says where it is."""
    text = configuration(render({**PLAIN, "store": {"postgresql": {"url": url}}}))

    assert yaml.safe_load(text)["store"] == url
