"""The peers start, answer and stop."""

from collections.abc import Callable

from tests.peers.servers import Etcd, Playground, etcdctl


def test_a_real_etcd_takes_a_write_and_stops(new_etcd: Callable[..., Etcd]) -> None:
    server = new_etcd()
    assert etcdctl(server.endpoint, "put", "k", "v").stdout == "OK\n"
    assert etcdctl(server.endpoint, "get", "k").stdout == "k\nv\n"
    assert server.stop() in {0, -15}
    assert etcdctl(server.endpoint, "--command-timeout", "1s", "get", "k").returncode == 1


def test_the_tikv_cluster_names_its_store(tikv: Playground) -> None:
    assert tikv.url("p") == f"tikv://127.0.0.1:{tikv.port}/p"
