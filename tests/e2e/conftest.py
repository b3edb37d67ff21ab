"""Fixtures of the stories."""

from pathlib import Path

import pytest

from tests.conftest import NewEtcd
from tests.e2e.kubernetes import restore
from tests.peers.servers import Etcd


@pytest.fixture
def loaded_etcd(new_etcd: NewEtcd, tmp_path: Path) -> Etcd:
    """A real etcd with the objects of a Kubernetes cluster."""
    return new_etcd(data_dir=restore(tmp_path / "kubernetes"))
