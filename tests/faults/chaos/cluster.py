"""Three instances over one TiKV cluster, and the faults that can befall them."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from brainctl.etcdpb import rpc_pb2 as pb
from tests.faults.chaos.links import Link, Loop, State
from tests.faults.chaos.schedule import Step
from tests.peers.servers import Brainctl, Playground, brainctl_argv
from tests.support.rpc import RECONNECT, Refused, Remote
from tests.support.tikv import ExternalTikv
from tests.support.until import until

NAMES = ("a", "b", "c")
LEASE = "1500ms"
"""Of the lead: short, so that others take it soon."""


class Instance(Brainctl):
    """One of the instances, perhaps with a planted bug, behind links of its own."""

    def __init__(self, directory: Path, name: str, bug: str) -> None:
        super().__init__(directory)
        self.title = name
        self.bug = bug
        self.links: dict[str, Link] = {}
        """By what is at the other end: store, driver, peers."""
        self.id = 0

    def argv(self) -> list[str]:
        command = super().argv()
        if self.bug:
            command[: len(brainctl_argv())] = [command[0], "-m", "tests.faults.chaos.planted", self.bug]
        return command

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        assert self.child is not None
        self.child.process.send_signal(number)

    def set_links(self, state: State, *ends: str) -> None:
        """Change what becomes of some of its connections."""
        for end in ends:
            self.links[end].set(state)


class Cluster:
    """The instances; a context manager."""

    def __init__(self, tikv: Playground, directory: Path, prefix: str, bug: str = "") -> None:
        """Create three instances of the store under a prefix, all with the same planted bug, or with none."""
        self._tikv = tikv
        self._prefix = prefix
        self._stack = ExitStack()
        self.instances = [Instance(directory / name, name, bug) for name in NAMES]
        self._status: dict[str, Remote] = {}

    @property
    def linked(self) -> bool:
        """Whether the connections to TiKV can be cut: those to a cluster of somebody else are left alone."""
        return not isinstance(self._tikv, ExternalTikv)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            loop = stack.enter_context(Loop())
            for instance in self.instances:
                self._connect(instance, loop)
                stack.enter_context(instance)
                self._status[instance.title] = Remote(instance.endpoint, options=RECONNECT)
                stack.callback(self._status[instance.title].close)
            for instance in self.instances:
                instance.id = self._state(instance).header.member_id
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _connect(self, instance: Instance, loop: Loop) -> None:
        store = self._tikv.url(self._prefix)
        instance.links["peers"] = loop.link(instance.port)
        if self.linked:
            ends = {"store": self._tikv.store_port, "driver": self._tikv.port}
            links = {end: loop.link(port) for end, port in ends.items()}
            told = {b"127.0.0.1:%d" % port: b"127.0.0.1:%d" % links[end].port for end, port in ends.items()}
            assert all(len(old) == len(new) for old, new in told.items()), "ports of the same length are needed"
            links["driver"].replace.update(told)
            instance.links |= links
            store = store.replace(self._tikv.endpoint, f"127.0.0.1:{links['driver'].port}")
        advertised = f"http://127.0.0.1:{instance.links['peers'].port}"
        instance.flags = ["--name", instance.title, "--advertise-client-urls", advertised]
        instance.flags += ["--lead-lease", LEASE]
        instance.store = ("--store", store)

    def _state(self, instance: Instance) -> pb.StatusResponse:
        status: pb.StatusResponse = self._status[instance.title].call(
            "/etcdserverpb.Maintenance/Status", pb.StatusRequest()
        )
        return status

    def leader(self, asked: Sequence[Instance]) -> Instance | None:
        """Return the leader that the asked ones agree on, None while they do not."""
        told = set()
        for instance in asked:
            try:
                told.add(self._state(instance).leader)
            except Refused:
                return None
        leader = told.pop() if len(told) == 1 else 0
        return next((instance for instance in self.instances if instance.id == leader), None)

    def befall(self, step: Step, answered: Callable[[int], None]) -> None:
        """Make a fault, wait until it may end, and end it; then wait until all instances serve again.

        Args:
            step: which fault.
            answered: waits until so many more operations are answered.
        """
        found: Instance = until("the instances agree on a leader", lambda: self.leader(self.instances))
        followers = [instance for instance in self.instances if instance is not found]
        it = found if step.leader else followers[step.during % len(followers)]
        others = [instance for instance in self.instances if instance is not it]

        def go_on() -> None:
            """Wait until another instance leads, if this one did, and then for some answers."""
            if it is found:
                until("another one leads", lambda: self.leader(others) not in (None, it))
            answered(step.during)

        kind, _, end = step.kind.partition(" ")
        state = {"cut": State.CUT, "freeze": State.FROZEN, "isolate": State.CUT}.get(kind)
        if kind in ("kill", "stop"):
            it.kill() if kind == "kill" else it.stop()
            go_on()
            it.start()
        elif kind in ("pause", "blink"):
            it.signal(signal.SIGSTOP)
            try:
                go_on() if kind == "pause" else time.sleep(step.seconds)
            finally:
                it.signal(signal.SIGCONT)
        elif state is not None:
            ends = (end,) if end else ("store", "driver", "peers")
            it.set_links(state, *ends)
            answered(step.during) if ends == ("peers",) else go_on()
            it.set_links(State.OPEN, *ends)
        else:
            for instance in self.instances:
                instance.set_links(State.FROZEN, "driver")
            time.sleep(step.seconds)
            for instance in self.instances:
                instance.set_links(State.OPEN, "driver")
        until("every instance serves", self._all_serve)

    def _all_serve(self) -> bool:
        for instance in self.instances:
            with suppress(Refused):
                self._status[instance.title].call("/etcdserverpb.KV/Range", pb.RangeRequest(key=b"k"))
                continue
            return False
        return self.leader(self.instances) is not None
