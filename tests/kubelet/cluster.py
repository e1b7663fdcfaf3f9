"""One installation of the embedded shape: a volume, its one pod at a time, and its Service."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from tests.faults.books import Books
from tests.faults.experiment import Experiment
from tests.faults.load import Wish
from tests.kubelet.callers import Callers
from tests.kubelet.pod import Address, Ending, Pod
from tests.kubelet.service import Service
from tests.kubelet.spec import SPEED, Spec, spec_of_chart
from tests.live.server import free_port

RATE = 60.0
# Some take a second, so that a drain has something to wait for.
WORDS = {"ok": 0.97, "slow": 0.03}


class Cluster:
    """A StatefulSet of one replica and a ReadWriteOncePod volume: no pod starts beside another."""

    def __init__(self, experiment: Experiment, spec: Spec | None = None) -> None:
        self.experiment = experiment
        self.spec = spec or spec_of_chart().at(SPEED)
        self.service = Service(self.spec.propagation_seconds)
        self.pods: list[Pod] = []

    @property
    def pod(self) -> Pod:
        """The youngest pod."""
        return self.pods[-1]

    async def install(self, **settings: Any) -> Pod:
        """Create the pod, whatever becomes of it."""
        self.experiment.make_daemon(
            **{
                "pre_drain_seconds": self.spec.pre_drain_seconds,
                "drain_seconds": self.spec.drain_seconds,
                **settings,
            }
        )
        return await self._create()

    async def _create(self) -> Pod:
        """A pod with an address of its own."""
        address = Address("127.0.0.1", free_port(), free_port())
        self.configure(api={"port": address.port}, ops={"port": address.ops_port})
        pod = Pod(self.experiment.daemon, self.spec, self.service, address)
        self.pods.append(pod)
        await pod.create()
        return pod

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Change the ConfigMap, which the next container reads; what stood there before."""
        path = self.experiment.daemon.config_path
        earlier = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**earlier, **changes}))
        return {name: earlier.get(name) for name in changes}

    async def roll_out(self) -> Ending:
        """Delete the pod, and have another one on its volume once it is gone and has let go."""
        ending = await self.replace()
        await self.pod.wait_ready()
        return ending

    async def replace(self) -> Ending:
        """Delete the pod and create another one, whatever becomes of it."""
        ending = await self.pod.delete()
        await self._create()
        return ending

    def tell_late(self, times: float) -> None:
        """Have news of endpoints take so many times what they usually take."""
        self.service.propagation_seconds = self.spec.propagation_seconds * times

    def callers(self, rate: float = RATE, **more: Any) -> Callers:
        """Callers of the Service, in an open loop."""
        return Callers(
            self.experiment.ledger,
            self.service,
            Wish(rate, WORDS),
            self.experiment.source,
            **more,
        )

    async def finish(self, without: Collection[str] = ()) -> Books:
        """Take the kubelet away, and check every invariant; see `Experiment.finish`."""
        await self.pod.let_go()
        return await self.experiment.finish(without=without)

    async def close(self) -> None:
        """Let nothing run on."""
        for pod in self.pods:
            await pod.let_go()
        await self.experiment.close()
