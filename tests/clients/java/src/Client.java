import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.auth.Permission;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Exercises an etcd endpoint with jetcd: java Client HOST:PORT PREFIX [CA]. Prints a line per check, or fails. */
final class Client {
    private static final long SECONDS = 20;

    private final String endpoint;
    private final String prefix;
    private final io.etcd.jetcd.Client client;
    private final KV kv;

    private Client(String endpoint, String prefix, io.etcd.jetcd.Client client) {
        this.endpoint = endpoint;
        this.prefix = prefix;
        this.client = client;
        this.kv = client.getKVClient();
    }

    public static void main(String[] args) throws Exception {
        String endpoint = (args.length > 2 ? "https://" : "http://") + args[0];
        var builder = io.etcd.jetcd.Client.builder().endpoints(endpoint);
        if (args.length > 2) {
            builder.sslContext(ssl -> ssl.trustManager(new File(args[2])));
        }
        try (var client = builder.build()) {
            new Client(endpoint, args[1], client).run();
        }
        System.out.println("ok");
    }

    private void run() throws Exception {
        keys();
        ranges();
        transactions();
        watches();
        watchFailures();
        leases();
        locks();
        elections();
        namespaces();
        maintenance();
        cluster();
        failures();
        authentication();
    }

    private void keys() throws Exception {
        ByteSequence key = key("kv/a");
        await(kv.put(key, bytes("1")));
        var replaced = await(kv.put(key, bytes("2"), PutOption.builder().withPrevKV().build()));
        check("put gives the version before", replaced.getPrevKv().getValue().equals(bytes("1")));
        KeyValue got = await(kv.get(key)).getKvs().get(0);
        check("get gives value and version", got.getValue().equals(bytes("2")) && got.getVersion() == 2);
        check("revisions rise", got.getModRevision() == got.getCreateRevision() + 1);
        var old = GetOption.builder().withRevision(got.getCreateRevision()).build();
        check("get at a revision", await(kv.get(key, old)).getKvs().get(0).getValue().equals(bytes("1")));
        ByteSequence odd = ByteSequence.from(new byte[] {0, (byte) 0xff, 0x7f});
        await(kv.put(key("kv/odd"), odd));
        check("bytes stay bytes", await(kv.get(key("kv/odd"))).getKvs().get(0).getValue().equals(odd));
        var deleted = await(kv.delete(key("kv/"), DeleteOption.builder().isPrefix(true).withPrevKV(true).build()));
        check("delete of a prefix", deleted.getDeleted() == 2 && deleted.getPrevKvs().size() == 2);
    }

    private void ranges() throws Exception {
        for (int i = 0; i < 5; i++) {
            await(kv.put(key("range/" + i), bytes(String.valueOf(9 - i))));
        }
        var page = await(kv.get(key("range/"), GetOption.builder().isPrefix(true).withLimit(2)
            .withSortField(GetOption.SortTarget.VALUE).withSortOrder(GetOption.SortOrder.ASCEND).build()));
        check("a sorted page", page.getCount() == 5 && page.isMore() && page.getKvs().get(0).getKey().equals(key("range/4")));
        var keysOnly = await(kv.get(key("range/"), GetOption.builder().isPrefix(true).withKeysOnly(true).build()));
        check("keys only", keysOnly.getKvs().stream().allMatch(each -> each.getValue().isEmpty()));
        var count = await(kv.get(key("range/"), GetOption.builder().isPrefix(true).withCountOnly(true).build()));
        check("count only", count.getCount() == 5 && count.getKvs().isEmpty());
        long third = await(kv.get(key("range/2"))).getKvs().get(0).getModRevision();
        var newer = await(kv.get(key("range/"), GetOption.builder().isPrefix(true).withMinModRevision(third).build()));
        check("a least revision", newer.getKvs().size() == 3);
        var half = await(kv.get(key("range/1"), GetOption.builder().withRange(key("range/3")).withSerializable(true).build()));
        check("a half-open range", half.getKvs().size() == 2);
    }

    private void transactions() throws Exception {
        ByteSequence key = key("txn");
        for (boolean expected : new boolean[] {true, false}) {
            var done = await(kv.txn().If(new Cmp(key, Cmp.Op.EQUAL, CmpTarget.createRevision(0)))
                .Then(Op.put(key, bytes("first"), PutOption.DEFAULT)).Else(Op.get(key, GetOption.DEFAULT)).commit());
            check("create once: " + expected, done.isSucceeded() == expected);
            if (!expected) {
                check("the else branch reads", done.getGetResponses().get(0).getKvs().get(0).getVersion() == 1);
            }
        }
        var inner = Op.txn(new Cmp[] {new Cmp(key, Cmp.Op.EQUAL, CmpTarget.value(bytes("first")))},
            new Op[] {Op.delete(key, DeleteOption.DEFAULT)}, new Op[0]);
        var nested = await(kv.txn().If(new Cmp(key, Cmp.Op.GREATER, CmpTarget.version(0))).Then(inner).commit());
        check("a nested transaction", nested.getTxnResponses().get(0).getDeleteResponses().get(0).getDeleted() == 1);
    }

    private void watches() throws Exception {
        BlockingQueue<WatchResponse> responses = new LinkedBlockingQueue<>();
        Watch watch = client.getWatchClient();
        long first = await(kv.put(key("watch/a"), bytes("1"))).getHeader().getRevision();
        await(kv.delete(key("watch/a")));
        var option = WatchOption.builder().isPrefix(true).withRevision(first).withPrevKV(true).withProgressNotify(true);
        try (var watcher = watch.watch(key("watch/"), option.build(), Watch.listener(responses::add))) {
            WatchEvent put = next(responses);
            check("the past is watched", put.getEventType() == WatchEvent.EventType.PUT && put.getKeyValue().getModRevision() == first);
            WatchEvent gone = pending.isEmpty() ? next(responses) : pending.remove(0);
            check("delete has the version before", gone.getEventType() == WatchEvent.EventType.DELETE && gone.getPrevKV().getValue().equals(bytes("1")));
            await(kv.put(key("watch/b"), bytes("2")));
            check("the present is watched", next(responses).getKeyValue().getKey().equals(key("watch/b")));
            watch.requestProgress();
            WatchResponse progress = responses.poll(SECONDS, TimeUnit.SECONDS);
            check("progress on request", progress != null && progress.isProgressNotify() && progress.getHeader().getRevision() >= first + 2);
        }
        var puts = WatchOption.builder().isPrefix(true).withRevision(first).withNoDelete(true).build();
        try (var watcher = watch.watch(key("watch/"), puts, Watch.listener(responses::add))) {
            next(responses);
            WatchEvent second = pending.isEmpty() ? next(responses) : pending.remove(0);
            check("deletes are filtered", second.getKeyValue().getKey().equals(key("watch/b")));
        }
    }

    private void watchFailures() throws Exception {
        long old = await(kv.put(key("compact"), bytes("1"))).getHeader().getRevision();
        long now = await(kv.put(key("compact"), bytes("2"))).getHeader().getRevision();
        await(kv.compact(now));
        fails("a read of a compacted revision", "required revision has been compacted",
            kv.get(key("compact"), GetOption.builder().withRevision(old).build()));
        fails("a read of the future", "required revision is a future revision",
            kv.get(key("compact"), GetOption.builder().withRevision(now + 1000).build()));
        CompletableFuture<Throwable> refused = new CompletableFuture<>();
        var option = WatchOption.builder().withRevision(old).build();
        try (var watcher = client.getWatchClient().watch(key("compact"), option, Watch.listener(each -> { }, refused::complete))) {
            check("a watch of a compacted revision", String.valueOf(await(refused)).contains("compacted"));
        }
    }

    private void leases() throws Exception {
        var leases = client.getLeaseClient();
        long id = await(leases.grant(60)).getID();
        await(kv.put(key("leased"), bytes("x"), PutOption.builder().withLeaseId(id).build()));
        check("keep alive once", await(leases.keepAliveOnce(id)).getTTL() == 60);
        BlockingQueue<LeaseKeepAliveResponse> alive = new LinkedBlockingQueue<>();
        try (var keeper = leases.keepAlive(id, observer(alive))) {
            check("keep alive", alive.poll(SECONDS, TimeUnit.SECONDS).getID() == id);
        }
        var left = await(leases.timeToLive(id, LeaseOption.builder().withAttachedKeys().build()));
        check("time to live", left.getGrantedTTL() == 60 && left.getKeys().equals(List.of(key("leased"))));
        await(leases.revoke(id));
        check("a key goes with its lease", await(kv.get(key("leased"))).getCount() == 0);
        fails("a second revoke", "requested lease not found", leases.revoke(id));
        check("no time to live", await(leases.timeToLive(id, LeaseOption.DEFAULT)).getTTL() == -1);
    }

    private void locks() throws Exception {
        var lock = client.getLockClient();
        long first = await(client.getLeaseClient().grant(60)).getID();
        long second = await(client.getLeaseClient().grant(60)).getID();
        ByteSequence held = await(lock.lock(key("lock"), first)).getKey();
        var waiting = lock.lock(key("lock"), second);
        check("a lock has a key below its name", held.startsWith(key("lock")));
        check("the second one waits", !waiting.isDone());
        await(lock.unlock(held));
        check("and gets it", !await(waiting).getKey().equals(held));
        await(client.getLeaseClient().revoke(second));
        check("a lock goes with its lease", !await(lock.lock(key("lock"), first)).getKey().isEmpty());
        await(client.getLeaseClient().revoke(first));
    }

    private void elections() throws Exception {
        Election election = client.getElectionClient();
        long id = await(client.getLeaseClient().grant(60)).getID();
        fails("nobody leads", "NoLeaderException", election.leader(key("election")));
        BlockingQueue<LeaderResponse> seen = new LinkedBlockingQueue<>();
        election.observe(key("election"), new Election.Listener() {
            @Override
            public void onNext(LeaderResponse response) {
                seen.add(response);
            }

            @Override
            public void onError(Throwable error) {
            }

            @Override
            public void onCompleted() {
            }
        });
        var leader = await(election.campaign(key("election"), id, bytes("one"))).getLeader();
        check("a campaign is won", leader.getLease() == id);
        check("and observed", seen.poll(SECONDS, TimeUnit.SECONDS).getKv().getValue().equals(bytes("one")));
        await(election.proclaim(leader, bytes("two")));
        check("the leader is known", await(election.leader(key("election"))).getKv().getValue().equals(bytes("two")));
        await(election.resign(leader));
        fails("nobody leads after", "NoLeaderException", election.leader(key("election")));
        await(client.getLeaseClient().revoke(id));
    }

    private void namespaces() throws Exception {
        try (var inside = io.etcd.jetcd.Client.builder().endpoints(endpoint).sslContext(sslOf()).namespace(key("space/")).build()) {
            await(inside.getKVClient().put(bytes("k"), bytes("v")));
            check("a namespace is a prefix", await(kv.get(key("space/k"))).getCount() == 1);
            check("that is not seen inside", await(inside.getKVClient().get(bytes("k"))).getKvs().get(0).getKey().equals(bytes("k")));
        } catch (UnsupportedOperationException skipped) {
            // over TLS the one client is enough
        }
    }

    private io.netty.handler.ssl.SslContext sslOf() {
        if (endpoint.startsWith("https")) {
            throw new UnsupportedOperationException();
        }
        return null;
    }

    private void maintenance() throws Exception {
        var maintenance = client.getMaintenanceClient();
        var status = await(maintenance.statusMember(endpoint));
        check("status", status.getVersion().startsWith("3.") && status.getDbSize() > 0 && status.getLeader() != 0);
        check("no alarms", await(maintenance.listAlarms()).getAlarms().isEmpty());
        check("a hash", await(maintenance.hashKV(endpoint, 0)).getHash() != 0);
        var snapshot = new ByteArrayOutputStream();
        check("a snapshot", await(maintenance.snapshot(snapshot)) == snapshot.size() && snapshot.size() > 1000);
        await(maintenance.defragmentMember(endpoint));
        check("defragmented", await(kv.get(key("compact"))).getCount() == 1);
    }

    private void cluster() throws Exception {
        var members = await(client.getClusterClient().listMember()).getMembers();
        check("one member", members.size() == 1 && !members.get(0).isLearner());
        fails("a member that is not there", "member not found", client.getClusterClient().removeMember(1));
    }

    private void failures() throws Exception {
        fails("an empty key", "key is not provided", kv.put(ByteSequence.EMPTY, bytes("v")));
        var noLease = PutOption.builder().withLeaseId(987654321).build();
        fails("no such lease", "requested lease not found", kv.put(key("x"), bytes("v"), noLease));
        var twice = kv.txn().Then(Op.put(key("x"), bytes("1"), PutOption.DEFAULT), Op.put(key("x"), bytes("2"), PutOption.DEFAULT));
        fails("one key twice", "duplicate key given in txn request", twice.commit());
    }

    private void authentication() throws Exception {
        if (endpoint.startsWith("https")) {
            return;
        }
        var auth = client.getAuthClient();
        await(auth.userAdd(bytes("root"), bytes("secret")));
        await(auth.roleAdd(bytes("root")));
        await(auth.userGrantRole(bytes("root"), bytes("root")));
        await(auth.userAdd(bytes("reader"), bytes("secret")));
        await(auth.roleAdd(bytes("reads")));
        await(auth.roleGrantPermission(bytes("reads"), key("kv/"), key("kv0"), Permission.Type.READ));
        await(auth.userGrantRole(bytes("reader"), bytes("reads")));
        await(auth.authEnable());
        fails("without a name", "user name is empty", kv.get(key("kv/a")));
        try (var reader = user("reader", "secret"); var root = user("root", "secret"); var wrong = user("root", "other")) {
            check("what is permitted", await(reader.getKVClient().get(key("kv/a"))).getCount() == 0);
            fails("what is not", "permission denied", reader.getKVClient().put(key("kv/a"), bytes("v")));
            fails("a wrong password", "authentication failed", wrong.getKVClient().get(key("kv/a")));
            var permission = await(root.getAuthClient().roleGet(bytes("reads"))).getPermissions().get(0);
            check("a role", permission.getKey().equals(key("kv/")) && permission.getPermType() == Permission.Type.READ);
            check("the users", await(root.getAuthClient().userList()).getUsers().equals(List.of("reader", "root")));
            await(root.getAuthClient().authDisable());
        }
        check("and off again", await(kv.get(key("kv/a"))).getCount() == 0);
        for (String name : List.of("reader", "root")) {
            await(auth.userDelete(bytes(name)));
        }
        for (String name : List.of("reads", "root")) {
            await(auth.roleDelete(bytes(name)));
        }
    }

    private io.etcd.jetcd.Client user(String name, String password) {
        return io.etcd.jetcd.Client.builder().endpoints(endpoint).user(bytes(name)).password(bytes(password)).build();
    }

    private final List<WatchEvent> pending = new java.util.ArrayList<>();

    /** The first event of the next response that has any; the others are kept in `pending`. */
    private WatchEvent next(BlockingQueue<WatchResponse> responses) throws InterruptedException {
        while (true) {
            WatchResponse response = responses.poll(SECONDS, TimeUnit.SECONDS);
            if (response == null) {
                throw new AssertionError("no event");
            }
            if (!response.getEvents().isEmpty()) {
                pending.clear();
                pending.addAll(response.getEvents());
                return pending.remove(0);
            }
        }
    }

    private static <T> StreamObserver<T> observer(BlockingQueue<T> queue) {
        return new StreamObserver<>() {
            @Override
            public void onNext(T value) {
                queue.add(value);
            }

            @Override
            public void onError(Throwable error) {
            }

            @Override
            public void onCompleted() {
            }
        };
    }

    private static void fails(String what, String text, CompletableFuture<?> attempt) throws Exception {
        try {
            await(attempt);
        } catch (ExecutionException error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (String.valueOf(cause).contains(text)) {
                    System.out.println(what);
                    return;
                }
            }
            throw new AssertionError(what, error);
        }
        throw new AssertionError(what + ": no error");
    }

    private static <T> T await(CompletableFuture<T> future) throws Exception {
        return future.get(SECONDS, TimeUnit.SECONDS);
    }

    private static void check(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
        System.out.println(what);
    }

    private ByteSequence key(String name) {
        return bytes(prefix + "/" + name);
    }

    private static ByteSequence bytes(String text) {
        return ByteSequence.from(text, UTF_8);
    }
}
