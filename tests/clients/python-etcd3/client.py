"""Exercises an etcd endpoint with python-etcd3: python client.py HOST:PORT PREFIX. Prints "ok", or raises.

It needs an environment of its own: its generated code imports only with protobuf < 4.
"""

import sys

import etcd3
from etcd3 import exceptions


def keys(client: etcd3.Etcd3Client, prefix: str) -> None:
    client.put(f"{prefix}/kv/a", "1")
    client.put(f"{prefix}/kv/b", "2")
    value, meta = client.get(f"{prefix}/kv/a")
    assert (value, meta.version) == (b"1", 1)
    assert [value for value, _ in client.get_prefix(f"{prefix}/kv/", sort_order="descend")] == [b"2", b"1"]
    assert client.replace(f"{prefix}/kv/a", "1", "3")
    assert not client.replace(f"{prefix}/kv/a", "1", "4")
    assert client.delete_prefix(f"{prefix}/kv/").deleted == 2
    assert client.get(f"{prefix}/kv/a") == (None, None)


def transactions(client: etcd3.Etcd3Client, prefix: str) -> None:
    key, do = f"{prefix}/txn", client.transactions
    for expected in (True, False):
        done, _ = client.transaction([do.version(key) == 0], [do.put(key, "first")], [do.get(key)])
        assert done is expected


def watches(client: etcd3.Etcd3Client, prefix: str) -> None:
    revision = client.put(f"{prefix}/watch/a", "1").header.revision
    client.delete(f"{prefix}/watch/a")
    events, cancel = client.watch_prefix(f"{prefix}/watch/", start_revision=revision)
    put, delete = next(events), next(events)
    cancel()
    assert (put.value, put.mod_revision) == (b"1", revision)
    assert isinstance(delete, etcd3.events.DeleteEvent)


def leases(client: etcd3.Etcd3Client, prefix: str) -> None:
    lease = client.lease(60)
    client.put(f"{prefix}/leased", "x", lease=lease)
    assert [r.TTL for r in lease.refresh()] == [60]
    assert lease.keys == [f"{prefix}/leased".encode()]
    lease.revoke()
    assert client.get(f"{prefix}/leased") == (None, None)


def locks(client: etcd3.Etcd3Client, prefix: str) -> None:
    with client.lock(f"{prefix}/lock", ttl=60) as lock:
        assert lock.is_acquired()
    assert not lock.is_acquired()


def compaction(client: etcd3.Etcd3Client, prefix: str) -> None:
    revision = client.put(f"{prefix}/c", "old").header.revision
    client.put(f"{prefix}/c", "new")
    client.compact(revision + 1)
    events, _ = client.watch(f"{prefix}/c", start_revision=revision)
    try:
        next(events)
    except exceptions.RevisionCompactedError as error:
        assert error.compacted_revision == revision + 1
    else:
        raise AssertionError("a watch from a compacted revision was not refused")


def main() -> None:
    host, port = sys.argv[1].rsplit(":", 1)
    client = etcd3.client(host=host, port=int(port), timeout=120)
    for step in (keys, transactions, watches, leases, locks, compaction):
        step(client, sys.argv[2])
    client.close()
    print("ok")


main()
