"""Sets of values that cover what the chart can do; each is rendered, checked and held to policy."""

from __future__ import annotations

from typing import Final

from tests.helm.chart import Values

UPSTREAM: Final = {"url": "http://models:8000/predict"}
DATABASE: Final = {"postgresql": {"secret": {"name": "shop-database", "key": "url"}}}
TOKEN: Final = {
    "name": "shop",
    "sha256": {"file": "/etc/tirelessd/secrets/shop-tokens/shop"},
    "scopes": ["submit", "read"],
}
QUEUES: Final = {
    "predictions": {
        "handler": {
            "type": "http",
            "url": "https://models.example/predict",
            "destination": "models",
            "headers": {"authorization": {"file": "/etc/tirelessd/secrets/models/key"}},
        },
        "slots": 50,
        "capacity_items": 10_000_000,
        "retry": {"floor_seconds": 0.25, "deadline_seconds": 172_800},
        "slo": {"objective": 0.995},
    },
    "echoes": {"handler": {"type": "echo"}},
}
PLAIN: Final[Values] = {"upstream": UPSTREAM}
EVERYTHING: Final[Values] = {
    "upstream": {**UPSTREAM, "queue": "letters", "slots": 5},
    "config": {
        "queues": QUEUES,
        "auth": {"tokens": [TOKEN]},
        "log": {"level": "debug"},
        "tracing": {"enabled": True, "endpoint": "http://collector:4318/v1/traces"},
        "canary": {"interval_seconds": 10},
    },
    "store": {
        "embedded": {
            "size": "100Gi",
            "storageClassName": "-",
            "accessMode": "ReadWriteOnce",
            "annotations": {"team": "shop"},
            "whenDeleted": "Delete",
        }
    },
    "preDrainSeconds": 12.5,
    "drainSeconds": 90,
    "terminationGracePeriodSeconds": 150,
    "image": {"repository": "registry.example/tirelessd", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "secrets": ["shop-tokens", "models"],
    "env": [{"name": "TIRELESSD_LOG__LEVEL", "value": "info"}],
    "envFrom": [{"configMapRef": {"name": "shop"}}],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    "service": {"type": "LoadBalancer", "port": 80, "annotations": {"internal": "true"}},
    "ops": {"port": 9999},
    "serviceAccount": {"name": "shop-worker", "annotations": {"role": "none"}},
    "podAnnotations": {"team": "shop"},
    "podLabels": {"team": "shop"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "important",
    "topologySpreadConstraints": [],
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"size": "1m"},
        "hosts": ["work.example", "other.example"],
        "tls": [{"hosts": ["work.example"], "secretName": "work-tls"}],
    },
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public"}],
        "hostnames": ["work.example"],
    },
}
NOTHING: Final[Values] = {
    "upstream": UPSTREAM,
    "config": {"canary": None},
    "serviceAccount": {"create": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "preDrainSeconds": 0,
    "drainSeconds": 0,
}

SETS: Final[dict[str, Values]] = {
    "plain": PLAIN,
    "everything": EVERYTHING,
    "nothing": NOTHING,
    "queues": {"config": {"queues": QUEUES}, "secrets": ["models", "models.previous"]},
    "tokens": {**PLAIN, "config": {"auth": {"tokens": [TOKEN]}}, "secrets": ["shop-tokens"]},
    "python": {
        "config": {"queues": {"thumbs": {"handler": {"type": "python", "function": "json:loads"}}}},
        "handlersPath": "/opt/handlers",
        "volumes": [{"name": "handlers", "configMap": {"name": "handlers"}}],
        "volumeMounts": [{"name": "handlers", "mountPath": "/opt/handlers", "readOnly": True}],
    },
    "stopped": {**PLAIN, "replicas": 0},
    "named": {**PLAIN, "fullnameOverride": "a-name-of-its-own", "nameOverride": "work"},
    "locked up": {
        **PLAIN,
        "networkPolicy": {
            "intake": {"from": [{"podSelector": {"matchLabels": {"team": "shop"}}}]},
            "metrics": {"from": []},
            "upstreams": {"to": [{"podSelector": {"matchLabels": {"app": "models"}}}]},
        },
    },
    "database by url": {
        **PLAIN,
        "store": {"postgresql": {"url": "postgresql://tirelessd@db/tirelessd"}},
    },
    "database by secret": {**PLAIN, "store": DATABASE, "replicas": 3},
    "split": {
        **PLAIN,
        "store": DATABASE,
        "split": {
            "enabled": True,
            "intake": {"replicas": 2},
            "slots": {
                "replicas": 6,
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}},
            },
        },
    },
    "database and everything": {
        **EVERYTHING,
        "store": DATABASE,
        "replicas": 4,
        "podDisruptionBudget": {"maxUnavailable": "25%"},
    },
    "watched, and scaled to none": {
        **PLAIN,
        "store": DATABASE,
        "split": {"enabled": True},
        "monitoring": {
            "job": "orders",
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboards": {"enabled": True},
            "alertmanagerConfig": {"enabled": True},
            "prometheusRule": {
                "enabled": True,
                "interval": "1m",
                "alertLabels": {"team": "shop"},
                "alerts": {"VersionSkew": {"enabled": False}, "QueueStale": {"seconds": 600}},
            },
        },
        "autoscaling": {"kind": "keda", "minReplicas": 0},
    },
    "scaled by an HPA": {
        **PLAIN,
        "store": DATABASE,
        "monitoring": {
            "podMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True},
        },
        "autoscaling": {"kind": "hpa", "maxReplicas": 40},
    },
    "scaled by what pods say": {
        **PLAIN,
        "store": DATABASE,
        "autoscaling": {"kind": "keda", "keda": {"signals": "scalez"}},
    },
}
