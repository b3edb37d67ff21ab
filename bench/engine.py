"""What the engine costs: python bench/engine.py [KEYS] [DIRECTORY].

Times are of the processor, but for writing, opening and reclaiming, which are of the clock on the wall.
"""

import gc
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from time import perf_counter_ns, process_time_ns

from brainctl.engine.engine import Engine
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, put_version

BATCH = 50
VALUE = b"v" * 256


def resident() -> int:
    """Anonymous memory of this process, bytes: mapped segments are not counted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


def key_of(number: int) -> bytes:
    return b"/registry/pods/namespace-%03d/pod-%07d" % (number % 1000, number)


def commit_of(engine: Engine, keys: Iterable[bytes]) -> Commit:
    commit = Commit(engine.view.revision)
    for key in keys:
        commit.revision += 1
        before = engine.view.get(key)
        commit.changes.append(put_version(key, VALUE, 0, commit.revision, 0, before))
        commit.before.append(before)
    return commit


def fill(engine: Engine, numbers: Iterable[int], report: str) -> None:
    """Put keys in batches, and time the three parts of a commit."""
    numbers = list(numbers)
    encode = publish = write = index = 0
    for first in range(0, len(numbers), BATCH):
        commit = commit_of(engine, map(key_of, numbers[first : first + BATCH]))
        start = process_time_ns()
        prepared = engine.encode(commit)
        encode += process_time_ns() - start
        start = perf_counter_ns()
        engine.write(prepared)
        write += perf_counter_ns() - start
        start = process_time_ns()
        engine.publish(commit, prepared)
        publish += process_time_ns() - start
        start = perf_counter_ns()
        while engine.background.index_step(1 << 20):
            pass
        index += perf_counter_ns() - start
    for name, taken in (("encode", encode), ("publish", publish), ("write + sync", write), ("runs", index)):
        print(f"{report}, {name:<13} {taken / len(numbers):>9.0f} ns/put")


def timed(name: str, unit: str, times: int, run: Callable[[int], object], each: int = 1) -> None:
    start = process_time_ns()
    for number in range(times):
        run(number)
    print(f"{name:<34} {(process_time_ns() - start) / times / each:>9.0f} ns/{unit}")


def look_up_cold(engine: Engine, keys: list[bytes]) -> None:
    """Get what was not looked up since the store was opened."""
    timed("get, keys not in memory", "get", len(keys), lambda n: engine.view.get(keys[n]))
    timed("get, keys that are not there", "get", len(keys), lambda n: engine.view.get(keys[n] + b"~"))


def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    where = sys.argv[2] if len(sys.argv) > 2 else None
    rng = Random(1)
    with tempfile.TemporaryDirectory(dir=where) as directory:
        engine = Engine.open(directory)
        before = resident()
        fill(engine, range(keys), "new keys")
        order = list(range(keys))
        rng.shuffle(order)
        fill(engine, order[: keys // 10], "old keys")
        stats = engine.stats
        print(f"bytes written per byte of key-value {stats.written_bytes / stats.payload_bytes:8.2f}")
        print(f"of these, runs of the index         {stats.index_bytes / stats.payload_bytes:8.2f}")
        print(f"syncs per put                       {stats.syncs / stats.records:8.3f}")
        engine.view.count(b"", None, 0)
        gc.collect()
        print(f"memory per key                      {(resident() - before) / keys:8.0f} bytes")

        def get(number: int) -> KeyVersion | None:
            return engine.view.get(key_of(order[number % keys]))

        start, revision = b"/registry/pods/namespace-5", engine.view.revision - keys // 20
        wanted = min(10_000, keys // 10)
        timed("get", "get", 100_000, get)
        timed("get, in the past", "get", 20_000, lambda n: engine.view.get(key_of(order[n % keys]), revision))
        timed("count", "count", 20_000, lambda _n: engine.view.count(start, b"/registry/pods/namespace-9", 0))
        timed("select", "key", 20, lambda _n: engine.view.select(start, None, 0, wanted), each=wanted)
        timed(
            "select, in the past",
            "key",
            2,
            lambda _n: engine.view.select(start, None, revision, wanted),
            each=keys // 2,
        )
        timed("history", "event", 1, lambda _n: sum(1 for _ in engine.view.history(2, revision)), each=revision)
        engine.close()
        del engine
        gc.collect()
        begun = perf_counter_ns()
        engine = Engine.open(directory)
        taken = perf_counter_ns() - begun
        print(f"open                               {taken / 1e9:9.3f} s")
        look_up_cold(engine, list(map(key_of, order[:10_000])))
        commit = Commit(engine.view.revision, compact=engine.view.revision)
        prepared = engine.encode(commit)
        engine.write(prepared)
        engine.publish(commit, prepared)
        begun = perf_counter_ns()
        slowest = 0
        size = engine.size
        last = begun
        for _ in engine.background.defragment():
            slowest = max(slowest, perf_counter_ns() - last)
            last = perf_counter_ns()
        taken = perf_counter_ns() - begun
        print(f"defragment {size >> 20} MB to {engine.size >> 20} MB          {taken / 1e9:9.3f} s")
        print(f"  longest step                     {slowest / 1e6:9.1f} ms")
        timed("select, packed segments", "key", 20, lambda _n: engine.view.select(start, None, 0, wanted), each=wanted)
        engine.close()


if __name__ == "__main__":
    main()
