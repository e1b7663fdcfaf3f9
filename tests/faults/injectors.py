"""Faults that can be had while others are: each begins, lasts a while, and is taken back."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import apsw
import asyncpg

from tests.faults.database import Database
from tests.faults.experiment import Experiment
from tests.faults.proxy import Proxy, Trouble
from tests.waiting import a_moment

RESTART_SECONDS = 20.0
LOCKED = "another process holds the database's write lock"


@dataclass
class Scene:
    """What injectors work on: an experiment with a proxy on either side of the daemon.

    Whoever touches the process holds `process`, so that it is killed only while it runs; and so it
    is with the server of a shared store.
    """

    experiment: Experiment
    front: Proxy
    back: Proxy
    process: asyncio.Lock = field(default_factory=asyncio.Lock)
    server: asyncio.Lock = field(default_factory=asyncio.Lock)


Injector = Callable[[Scene, random.Random], Awaitable[None]]


async def kill(scene: Scene, source: random.Random) -> None:
    """A power cut, and another start a little later."""
    async with scene.process:
        await scene.experiment.kill()
        await a_moment(source.uniform(0.0, 0.5))
        await restart(scene.experiment)


async def drain(scene: Scene, source: random.Random) -> None:
    """An orderly restart."""
    async with scene.process:
        await scene.experiment.stop()
        await restart(scene.experiment)


async def restart(experiment: Experiment) -> None:
    """Start as a supervisor would: once more when the file was somebody else's at that moment."""
    daemon = experiment.daemon
    async with asyncio.timeout(RESTART_SECONDS):
        while True:
            try:
                return await daemon.start()
            except AssertionError:
                said = daemon.stray_output
                if not said or LOCKED not in said[-1]:
                    raise
                said.pop()


async def freeze(scene: Scene, source: random.Random) -> None:
    """The process does not run for a while, as on an overloaded machine."""
    async with scene.process:
        daemon = scene.experiment.daemon
        daemon.send(signal.SIGSTOP)
        await a_moment(source.uniform(0.2, 6.0))
        daemon.send(signal.SIGCONT)


async def slow_disk(scene: Scene, source: random.Random) -> None:
    """Every flush takes a fifth of a second, by strace; nothing where that is missing."""
    strace = shutil.which("strace")
    if strace is None:
        return
    async with scene.process:
        pid = str(scene.experiment.daemon.pid)
        tracer = await asyncio.create_subprocess_exec(
            *(strace, "-f", "-qq", "-p", pid, "-e", "trace=fdatasync"),
            *("-e", "inject=fdatasync:delay_exit=200000"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await a_moment(source.uniform(1.0, 4.0))
        if tracer.returncode is None:
            tracer.terminate()
        await tracer.wait()


async def few_descriptors(scene: Scene, source: random.Random) -> None:
    """The process may open hardly a file more."""
    async with scene.process:
        pid = scene.experiment.daemon.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (40, before[1]))
        await a_moment(source.uniform(1.0, 4.0))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def outage(scene: Scene, source: random.Random) -> None:
    """The upstream answers every request with one and the same failure."""
    upstream = scene.experiment.upstream
    upstream.outage_status = source.choice([429, 500, 503])
    await a_moment(source.uniform(0.5, 4.0))
    upstream.outage_status = 0


async def slow_upstream(scene: Scene, source: random.Random) -> None:
    """The upstream takes long, perhaps longer than an attempt may."""
    upstream = scene.experiment.upstream
    before, upstream.delay_seconds = upstream.delay_seconds, source.uniform(0.5, 3.0)
    await a_moment(source.uniform(1.0, 4.0))
    upstream.delay_seconds = before


async def bad_way_out(scene: Scene, source: random.Random) -> None:
    """The network between the daemon and its upstream does something to answers."""
    scene.experiment.upstream.begin_doubt()
    scene.back.to_client = trouble(source)
    scene.back.is_refusing = source.random() < 0.2
    await a_moment(source.uniform(0.5, 4.0))
    scene.back.heal()
    scene.back.reset_all()
    # What was sent into the reset connections ends in doubt as well.
    await a_moment(0.1)
    scene.experiment.upstream.end_doubt()


async def bad_way_in(scene: Scene, source: random.Random) -> None:
    """The network between callers and the daemon does something to requests or answers."""
    if source.random() < 0.5:
        scene.front.to_client = trouble(source)
    else:
        scene.front.to_server = trouble(source)
    await a_moment(source.uniform(0.5, 4.0))
    scene.front.heal()
    scene.front.reset_all()


def trouble(source: random.Random) -> Trouble:
    """Some trouble or other."""
    return source.choice(
        [
            Trouble(latency_seconds=source.uniform(0.05, 1.0)),
            Trouble(drip_bytes=50, drip_seconds=0.05),
            *(Trouble(cut_after=source.randint(0, 400), cut=cut) for cut in ("rst", "fin")),
            *(Trouble(cut_after=source.randint(0, 400), cut=cut) for cut in ("half", "hole")),
        ]
    )


async def foreign_reader(scene: Scene, source: random.Random) -> None:
    """Somebody holds a snapshot of the file, so that its log cannot start over."""
    await hold_file(scene, source, "BEGIN; SELECT count(*) FROM items")


async def foreign_writer(scene: Scene, source: random.Random) -> None:
    """Somebody holds the file's write lock."""
    await hold_file(scene, source, "BEGIN IMMEDIATE")


async def hold_file(scene: Scene, source: random.Random, statement: str) -> None:
    """Run a statement on a connection of one's own and keep it a while."""
    path = scene.experiment.folder / "tirelessd.db"
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        # Checkpoints are the daemon's alone.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(statement).fetchall()
        await a_moment(source.uniform(0.5, 3.0))
        db.execute("ROLLBACK")
    except apsw.BusyError:
        return
    finally:
        db.close()


async def ended_sessions(scene: Scene, source: random.Random) -> None:
    """An operator, or a fail-over, ends whatever is connected to the database."""
    database = shared(scene)
    for _ in range(source.randint(1, 4)):
        async with scene.server:
            await database.end_sessions()
        await a_moment(source.uniform(0.05, 1.0))


async def locked_items(scene: Scene, source: random.Random) -> None:
    """Somebody holds a lock on the table that everything goes through."""
    database = shared(scene)
    async with scene.server:
        connection = await asyncpg.connect(database.server.url(database.name))
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
                await a_moment(source.uniform(0.5, 3.0))
        finally:
            await connection.close()


async def still_server(scene: Scene, source: random.Random) -> None:
    """The server's processes do not run for a while, and nobody hears a word of it."""
    server = shared(scene).server
    async with scene.server:
        server.pause()
        await a_moment(source.uniform(0.5, 6.0))
        server.go_on()


async def dead_server(scene: Scene, source: random.Random) -> None:
    """The server dies, and comes back a little later."""
    server = shared(scene).server
    async with scene.server:
        await asyncio.to_thread(server.kill)
        await a_moment(source.uniform(0.0, 2.0))
        await asyncio.to_thread(server.start)


def shared(scene: Scene) -> Database:
    """The database of the experiment, which must have one."""
    assert scene.experiment.database is not None
    return scene.experiment.database


def named(*injectors: Injector) -> dict[str, Injector]:
    """Injectors by the names of their functions."""
    return {getattr(each, "__name__", ""): each for each in injectors}


ANYWHERE = named(
    kill, drain, freeze, few_descriptors, outage, slow_upstream, bad_way_out, bad_way_in
)
EMBEDDED = ANYWHERE | named(slow_disk, foreign_reader, foreign_writer)
SHARED = ANYWHERE | named(ended_sessions, locked_items, still_server, dead_server)
