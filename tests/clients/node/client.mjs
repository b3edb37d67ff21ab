// Exercises an etcd endpoint with the etcd3 package of npm: node client.mjs HOST:PORT PREFIX [CA].
// Prints a line per step and exits 0, or throws. Over TLS it leaves authentication out.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import etcd3 from "etcd3";

const { Etcd3, EtcdPermissionDeniedError, EtcdLockFailedError } = etcd3;

const [endpoint, prefix, ca] = process.argv.slice(2);
const options = ca
  ? { hosts: `https://${endpoint}`, credentials: { rootCertificate: readFileSync(ca) } }
  : { hosts: `http://${endpoint}` };
const root = new Etcd3(options);
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
  await assert.rejects(client.lock("lock").acquire(), EtcdLockFailedError);
  await lock.release();
}

async function ranges() {
  for (let i = 0; i < 5; i++) {
    await client.put(`range/${i}`).value(String(9 - i));
  }
  const sorted = await client.getAll().prefix("range/").sort("Value", "Ascend").limit(2).exec();
  assert.deepEqual([sorted.count, sorted.more, sorted.kvs[0].value.toString()], ["5", true, "5"]);
  assert.equal(await client.getAll().prefix("range/").count(), 5);
  const { mod_revision: third } = (await client.getAll().prefix("range/").exec()).kvs[2];
  assert.equal((await client.getAll().prefix("range/").minModRevision(third).keys()).length, 3);
  assert.deepEqual(await client.getAll().inRange({ start: "range/1", end: "range/3" }).strings(), {
    "range/1": "8",
    "range/2": "7",
  });
  const replaced = await client.put("range/0").value("new").getPrevious();
  assert.equal(replaced.value.toString(), "9");
  assert.equal(await client.get("range/0").revision(replaced.mod_revision).string(), "9");
  await client.put("range/bytes").value(Buffer.from([0, 255, 127]));
  assert.deepEqual(await client.get("range/bytes").buffer(), Buffer.from([0, 255, 127]));
  await client.put("range/number").value(42);
  assert.equal(await client.get("range/number").number(), 42);
  await client.put("range/json").value(JSON.stringify({ a: 1 }));
  assert.deepEqual(await client.get("range/json").json(), { a: 1 });
  await client.put("range/number").touch();
  assert.equal((await client.get("range/number").exec()).kvs[0].version, "2");
  assert.equal(await client.get("range/number").exists(), true);
  assert.equal((await client.delete().range(client.range({ start: "range/1", end: "range/3" })).exec()).deleted, "2");
}

async function comparisons() {
  await client.put("cmp").value("b");
  const holds = (column, operator, value) =>
    client.if("cmp", column, operator, value).then(client.get("cmp")).commit();
  assert.equal((await holds("Value", "<", "c")).succeeded, true);
  assert.equal((await holds("Value", "!=", "b")).succeeded, false);
  assert.equal((await holds("Version", "==", 1)).succeeded, true);
  assert.equal((await holds("Mod", ">", 0)).succeeded, true);
  const twice = client.if("cmp", "Version", ">", 0).and("cmp", "Value", "==", "b");
  assert.equal((await twice.then(client.delete().key("cmp")).commit()).succeeded, true);
  assert.equal(await client.get("cmp").exists(), false);
}

async function pastWatches() {
  const first = await client.put("past/a").value("1").exec();
  await client.put("past/a").value("2");
  await client.delete().key("past/a");
  const watcher = client.watch().prefix("past/").startRevision(first.header.revision).withPreviousKV().watcher();
  const seen = [];
  await new Promise((done) => {
    watcher.on("data", ({ events }) => {
      seen.push(...events);
      if (seen.length === 3) done();
    });
  });
  assert.deepEqual(
    seen.map((event) => event.type),
    ["Put", "Put", "Delete"],
  );
  assert.equal(seen[2].prev_kv.value.toString(), "2");
  await watcher.cancel();
}

async function transactionsInMemory() {
  for (const isolation of [0, 1, 2]) { // snapshot, serializable, repeatable reads; the package exports no names
    await client.put("stm").value("0");
    const add = () =>
      client.stm({ isolation, retries: 20 }).transact(async (tx) => {
        await tx.put("stm").value((await tx.get("stm").number()) + 1);
      });
    await Promise.all([add(), add(), add()]);
    assert.equal(await client.get("stm").number(), 3);
  }
}

async function elections() {
  const election = client.election("election", 60);
  assert.equal(await election.leader(), undefined);
  const first = election.campaign("one");
  await first.wait();
  assert.equal(await election.leader(), "one");
  const observer = await election.observe();
  const second = client.election("election", 60).campaign("two");
  await first.proclaim("still one");
  while (observer.leader() !== "still one") await once(observer, "change");
  await first.resign();
  await second.wait();
  while (observer.leader() !== "two") await once(observer, "change");
  await observer.cancel();
  await second.resign();
}

async function namespaces() {
  const inside = client.namespace("space/");
  await inside.put("k").value("v");
  assert.equal(await client.get("space/k").string(), "v");
  assert.deepEqual(await inside.getAll().keys(), ["k"]);
  await inside.delete().all();
  assert.equal(await client.get("space/k").exists(), false);
}

async function services() {
  const status = await root.maintenance.status();
  assert.match(status.version, /^3\./);
  assert.equal((await root.maintenance.alarm({ action: "Get" })).alarms.length, 0);
  await root.maintenance.defragment();
  const snapshot = await root.maintenance.snapshot();
  let bytes = 0;
  for await (const part of snapshot) bytes += part.blob.length;
  assert.ok(bytes > 1000);
  const { header } = await client.put("compacted").value("1").exec();
  await client.put("compacted").value("2");
  await root.kv.compact({ revision: String(Number(header.revision) + 1) });
  await assert.rejects(client.get("compacted").revision(header.revision).exec(), /has been compacted/);
}

async function failures() {
  const unknown = /requested lease not found/;
  await assert.rejects(client.put("kv/x").value("y").lease(123456), unknown);
  await assert.rejects(root.put("").value("y"), /key is not provided/);
}

async function authentication() {
  const roles = { root: root.role("root"), reads: root.role("reads") };
  const users = { root: root.user("root"), reader: root.user("reader") };
  await roles.root.create();
  await roles.reads.create();
  await roles.reads.grant({ permission: "Read", range: root.range({ prefix }) });
  await users.root.create("secret");
  await users.reader.create("secret");
  await users.root.addRole("root");
  await users.reader.addRole("reads");
  await root.auth.authEnable();
  const as = (username, password) => new Etcd3({ ...options, auth: { username, password } });
  const [reader, admin, wrong] = [as("reader", "secret"), as("root", "secret"), as("root", "other")];
  await assert.rejects(root.get("x").string(), /user name is empty/);
  await assert.rejects(wrong.get("x").string(), /invalid user ID or password/);
  assert.equal(await reader.get(`${prefix}/nothing`).string(), null);
  await assert.rejects(reader.put(`${prefix}/x`).value("y"), EtcdPermissionDeniedError);
  const [permission] = await admin.role("reads").permissions();
  assert.equal(permission.permission, "Read");
  assert.deepEqual((await admin.getUsers()).map((user) => user.name), ["reader", "root"]);
  await admin.auth.authDisable();
  for (const each of [reader, admin, wrong]) each.close();
  for (const each of [users.reader, users.root, roles.reads, roles.root]) await each.delete();
}

const steps = [
  ...[keys, ranges, transactions, comparisons, watches, pastWatches, leases, locks, transactionsInMemory],
  ...[elections, namespaces, services, failures, ...(ca ? [] : [authentication])],
];
for (const step of steps) {
  await step();
  console.log(step.name);
}
root.close();
console.log("ok");
