"""Choose the operations that the clients of a recording repeat until its time is over."""

import asyncio
from collections.abc import Awaitable, Callable

from brainctl.check.line import Line, Request
from brainctl.client.recorder.client import Client

KEYS = 10
"""Number of keys that the clients share: few, so that they meet."""
LISTED = 20
PAST_REVISIONS = 100
"""Revisions that a read of the past looks back."""
LEASE_SECONDS = (1, 3)
"""The shortest and the longest TTL that is requested."""
LOCK_SECONDS = 10


async def kv(client: Client) -> None:
    """Put, delete, read, list, compare and change."""
    random, key = client.random, client.key(f"k{client.random.randrange(KEYS)}")
    draw = random.randrange(100)
    if draw < 30:
        await client.do({"op": "put", "key": key, "value": client.value(), "prev_kv": draw < 10})
    elif draw < 38:
        await client.do({"op": "delete", "key": key, "prev_kv": draw < 34})
    elif draw < 55:
        await client.do(_changed(client, key))
    elif draw < 60:
        await client.do({"op": "txn", "success": [_put(client, f"k{n}") for n in range(3)] + [_get(key)]})
    elif draw < 75:
        await client.do({"op": "range", "key": key, "serializable": draw < 65})
    elif draw < 90:
        limit = random.choice((0, 0, 3))
        await client.do({"op": "range", **_whole(client), "serializable": draw < 80, "limit": limit})
    else:
        back = random.randrange(PAST_REVISIONS)
        at = max(client.shared.first, client.shared.revision - back)
        await client.do({"op": "range", **_whole(client), "at": at, "serializable": draw < 95})


async def kubernetes(client: Client) -> None:
    """Do what an API server does: create, update and delete by transactions that compare the mod revision, and list."""
    random, key = client.random, client.key(f"pods/{client.random.randrange(LISTED)}")
    known = client.shared.mods.get(key, 0)
    draw = random.randrange(100)
    if draw < 15:
        listed: Line = {"op": "range", "key": client.key("pods/"), "end": client.key("pods0"), "limit": 5}
        found = await client.do(listed)
        if found is not None and found.get("more"):
            last = found["kvs"][-1][0]
            await client.do({**listed, "key": f"{last}\0", "at": found["rev"]})
    elif draw < 35:
        await client.do({"op": "range", "key": key})
    elif draw < 50 and known:
        compare: Line = {"op": "txn", "compare": [{"key": key, "target": "mod", "relation": "=", "value": known}]}
        await client.do({**compare, "success": [{"op": "delete", "key": key}], "failure": [_get(key)]})
    else:
        await client.do(_changed(client, key))


async def lease(client: Client) -> None:
    """Grant a lease, attach keys to it, renew it, and revoke it or let it die; read the keys meanwhile."""
    random = client.random
    number = random.getrandbits(62) + 1
    client.shared.leases.add(number)
    granted = await client.do({"op": "grant", "id": number, "ttl": random.randint(*LEASE_SECONDS)})
    if granted is None:
        return
    for _ in range(random.randint(1, 3)):
        key = client.key(f"lease{random.randrange(KEYS)}")
        await client.do({"op": "put", "key": key, "value": client.value(), "lease": number})
    for _ in range(random.randrange(4)):
        await client.do(
            {"op": "keepalive", "id": number} if random.random() < 0.5 else {"op": "range", **_whole(client)}
        )
    if random.random() < 0.4 and await client.do({"op": "revoke", "id": number}) is not None:
        client.shared.leases.discard(number)
    await kv(client)


async def lock(client: Client) -> None:
    """Queue up for a lock with a key of an own lease, wait until it is the oldest one, hold it a moment, delete it."""
    number, name = client.random.getrandbits(62) + 1, "lock/"
    client.shared.leases.add(number)
    if await client.do({"op": "grant", "id": number, "ttl": LOCK_SECONDS}) is None:
        return
    key, prefix = client.key(f"{name}{number:x}"), client.key(name)
    missing: Line = {"op": "txn", "compare": [{"key": key, "target": "create", "relation": "=", "value": 0}]}
    put: Request = {"op": "put", "key": key, "value": client.value(), "lease": number}
    if await client.do({**missing, "success": [put]}) is None:
        return
    since = await _turn(client, key, prefix)
    holder = client.number
    if not since:
        return
    await asyncio.sleep(client.random.random() / 100)
    gone = await client.do({"op": "delete", "key": key})
    until = gone["rev"] if gone is not None and gone["deleted"] else None
    held: Line = {"op": "hold", "client": holder, "name": prefix, "key": key, "since": since, "until": until}
    client.shared.tape.add(held)
    if await client.do({"op": "revoke", "id": number}) is not None:
        client.shared.leases.discard(number)


async def _turn(client: Client, key: str, prefix: str) -> int:
    """Wait until a key is the oldest one below a prefix; return the revision at which it is, 0 when it is gone."""
    while True:
        found = await client.do({"op": "range", "key": prefix, "end": f"{prefix[:-1]}0"})
        if found is None:
            continue
        ages = {str(kv[0]): int(kv[1]) for kv in found["kvs"]}
        if key not in ages:
            return 0
        if ages[key] == min(ages.values()):
            return found["rev"]


WORKLOADS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "kv": kv,
    "kubernetes": kubernetes,
    "lease": lease,
    "watch": kv,
    "lock": lock,
}
"""Workloads by name; with `watch`, most clients watch."""


def _whole(client: Client) -> Line:
    prefix = client.shared.prefix
    return {"key": prefix, "end": f"{prefix[:-1]}0"}


def _get(key: str) -> Request:
    return {"op": "range", "key": key}


def _put(client: Client, name: str) -> Request:
    return {"op": "put", "key": client.key(name), "value": client.value()}


def _changed(client: Client, key: str) -> Line:
    """Return the transaction that puts a key if it was not changed since it was seen, and else reads it."""
    known = client.shared.mods.get(key, 0)
    put: Request = {"op": "put", "key": key, "value": client.value()}
    compare: Line = {"op": "txn", "compare": [{"key": key, "target": "mod", "relation": "=", "value": known}]}
    return {**compare, "success": [put], "failure": [_get(key)]}
