"""A store on TiKV that a server serves, or a migration writes to, is not taken away without a word."""

from tests.conftest import NewBrainctl, NewEtcd
from tests.e2e.test_patience import Migration, put
from tests.peers.servers import brainctl, etcdctl


def test_a_served_store_is_taken_only_by_force(new_etcd: NewEtcd, new_brainctl: NewBrainctl, tikv_url: str) -> None:
    source, server = new_etcd(), new_brainctl(store=tikv_url)
    put(source.endpoint, "v")
    flags = ("migrate", "--from", f"etcd://{source.endpoint}", "--to", tikv_url)
    empty = brainctl(*flags)
    assert empty.returncode == 11, empty.stderr
    etcdctl(server.endpoint, "put", "mine", "v")
    refused = brainctl(*flags, "--overwrite")
    assert refused.returncode == 11, refused.stderr
    for named in (f"`brainctl serve` at {server.endpoint}", f"process {server.pid} on ", "--even-if-served"):
        assert named in refused.stderr
    assert etcdctl(server.endpoint, "get", "mine", "--print-value-only").stdout == "v\n"
    server.kill()
    asked = brainctl(*flags, "--overwrite")
    assert (asked.returncode, "--overwrite removes: add --yes" in asked.stderr) == (14, True), asked.stderr
    waited = brainctl(*flags, "--overwrite", "--yes")
    assert waited.returncode == 0, waited.stderr
    assert brainctl("get", "--store", tikv_url, "mine").stdout == ""
    server.start()
    forced = brainctl(*flags, "--overwrite", "--even-if-served", "--yes")
    assert forced.returncode == 0, forced.stderr
    etcdctl(server.endpoint, "put", "mine", "v")
    assert server.child is not None
    assert server.child.process.wait(120) == 9


def test_a_running_migration_is_overwritten_only_by_force(new_etcd: NewEtcd, tikv_url: str) -> None:
    source = new_etcd()
    flags = ("--from", f"etcd://{source.endpoint}", "--to", tikv_url)
    running = Migration(*flags, "--follow")
    running.until_synced_at(put(source.endpoint, "v"))
    refused = brainctl("migrate", *flags, "--overwrite")
    assert refused.returncode == 11, refused.stderr
    assert f"`brainctl migrate` (process {running.process.pid} on " in refused.stderr
    running.until_synced_at(put(source.endpoint, "w"))
    assert running.end()[0] == 0
    assert brainctl("migrate", *flags, "--overwrite", "--yes").returncode == 0
