"""Ports for the servers of the tests, which nobody takes between their choice and the start of the server.

A port that the kernel chooses is free only at that moment: it may give it to the next socket that asks for any, in
another test process too, before the server has bound it or while the server is down. So ports come from below those
that the kernel chooses from, in blocks, each of which belongs to one process: to whoever holds a Unix socket of its
name, which the kernel frees when the process ends, however it ends.
"""

import socket
from random import SystemRandom
from threading import Lock

FIRST, END = 10_000, 32_000
"""Linux chooses ports from 32 768 on."""
BLOCK = 50


class Ports:
    """The blocks of this process, and what is left of the newest."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: list[socket.socket] = []
        self._next = self._end = 0

    def take(self, count: int) -> int:
        """Return the first of `count` ports in a row that this process has not taken before and nobody listens on."""
        with self._lock:
            while True:
                if self._next + count > self._end:
                    self._next = self._new_block()
                    self._end = self._next + BLOCK
                first, self._next = self._next, self._next + count
                if all(is_free(port) for port in range(first, first + count)):
                    return first

    def close(self) -> None:
        """Give the blocks back."""
        for mark in self._held:
            mark.close()

    def _new_block(self) -> int:
        blocks = range(FIRST, END, BLOCK)
        for first in SystemRandom().sample(blocks, len(blocks)):
            mark = socket.socket(socket.AF_UNIX)
            try:
                mark.bind(f"\0brainctl-tests-ports-{first}")
            except OSError:
                mark.close()
            else:
                self._held.append(mark)
                return first
        raise AssertionError("all ports for tests are taken")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of the loopback interface."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_ports = Ports()


def free_port() -> int:
    """Take a TCP port of the loopback interface that nobody listens on, for the life of this process."""
    return _ports.take(1)


def free_ports(count: int) -> int:
    """Take so many in a row, at most BLOCK of them; returns the first."""
    return _ports.take(count)
