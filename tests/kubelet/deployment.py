"""An installation of the shared shape: pods on one database, and their Service."""

from __future__ import annotations

from tests.faults.books import Books
from tests.faults.load import Wish
from tests.faults.pods import Pods
from tests.kubelet.callers import Callers
from tests.kubelet.cluster import RATE, WORDS
from tests.kubelet.pod import Address, Ending, Pod
from tests.kubelet.service import Service
from tests.kubelet.spec import SPEED, spec_of_chart
from tests.live.server import free_port
from tests.waiting import a_moment

SHARED = {"postgresql": {"secret": {"name": "database", "key": "url"}}}


class Deployment:
    """Some replicas, replaced one by one: a new pod is ready before an old one goes."""

    def __init__(self, experiment: Pods, replicas: int = 2) -> None:
        self.experiment, self.replicas = experiment, replicas
        self.spec = spec_of_chart(store=SHARED).at(SPEED)
        self.service = Service(self.spec.propagation_seconds)
        self.pods: list[Pod] = []
        self.endings: list[Ending] = []

    async def install(self) -> None:
        """Create all pods; returns once callers are sent to each."""
        for _ in range(self.replicas):
            await self._create()
        for pod in self.pods:
            await pod.wait_ready()

    async def _create(self) -> Pod:
        address = Address("127.0.0.1", free_port(), free_port())
        daemon = await self.experiment.add(
            pre_drain_seconds=self.spec.pre_drain_seconds,
            drain_seconds=self.spec.drain_seconds,
            api={"port": address.port},
            ops={"port": address.ops_port},
        )
        pod = Pod(daemon, self.spec, self.service, address)
        self.pods.append(pod)
        await pod.create()
        return pod

    async def roll_out(self) -> None:
        """Replace every pod, one more at a time than there should be, and never one less."""
        for old in self.pods[-self.replicas :]:
            new = await self._create()
            await new.wait_ready()
            await a_moment(self.spec.min_ready_seconds)
            self.endings.append(await old.delete())

    def callers(self) -> Callers:
        """Callers of the Service, in an open loop."""
        return Callers(
            self.experiment.ledger, self.service, Wish(RATE, WORDS), self.experiment.source
        )

    async def finish(self) -> Books:
        """Take the kubelet away, and check every invariant; see `Experiment.finish`."""
        for pod in self.pods:
            await pod.let_go()
        return await self.experiment.finish()

    async def close(self) -> None:
        """Let nothing run on."""
        for pod in self.pods:
            await pod.let_go()
        await self.experiment.close()
