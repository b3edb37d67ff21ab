// Exercises an etcd endpoint with the etcd3 package of npm: node client.mjs HOST:PORT PREFIX.
// Prints "ok" and exits 0, or throws.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Etcd3 } from "etcd3";

const [endpoint, prefix] = process.argv.slice(2);
const root = new Etcd3({ hosts: `http://${endpoint}` });
const client = root.namespace(`${prefix}/`);

async function keys() {
  await client.put("kv/a").value("1");
  await client.put("kv/b").value("2");
  assert.equal(await client.get("kv/a").string(), "1");
  assert.deepEqual(await client.getAll().prefix("kv/").strings(), { "kv/a": "1", "kv/b": "2" });
  assert.deepEqual(await client.getAll().prefix("kv/").sort("Key", "Descend").limit(1).keys(), ["kv/b"]);
  assert.equal((await client.delete().prefix("kv/")).deleted, "2");
  assert.equal(await client.get("kv/a").string(), null);
}

async function transactions() {
  const create = () =>
    client.if("txn", "Create", "==", 0).then(client.put("txn").value("first")).else(client.get("txn")).commit();
  assert.equal((await create()).succeeded, true);
  const second = await create();
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0].response_range.kvs[0].value.toString(), "first");
}

async function watches() {
  const watcher = await client.watch().prefix("watch/").create();
  const put = once(watcher, "put");
  await client.put("watch/a").value("1");
  const [created] = await put;
  assert.equal(created.value.toString(), "1");
  const gone = once(watcher, "delete");
  await client.delete().key("watch/a");
  const [deleted] = await gone;
  assert.equal(deleted.key.toString(), "watch/a");
  await watcher.cancel();
}

async function leases() {
  const lease = client.lease(60);
  await lease.put("leased").value("x");
  await lease.keepaliveOnce();
  assert.equal(await client.get("leased").string(), "x");
  await lease.revoke();
  assert.equal(await client.get("leased").string(), null);
}

async function locks() {
  const lock = client.lock("lock");
  await lock.acquire();
  await assert.rejects(client.lock("lock").acquire());
  await lock.release();
}

async function failures() {
  const unknown = /requested lease not found/;
  await assert.rejects(client.put("kv/x").value("y").lease(123456), unknown);
}

for (const step of [keys, transactions, watches, leases, locks, failures]) {
  await step();
}
root.close();
console.log("ok");
