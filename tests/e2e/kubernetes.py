"""A real etcd with the objects that a real kube-apiserver wrote (tests/data)."""

import lzma
import subprocess
from pathlib import Path

from tests.peers import require

SNAPSHOT = Path(__file__).parent.parent / "data" / "kubernetes.snapshot.db.xz"
KEYS = 6607
REVISION = 10045


def restore(directory: Path) -> Path:
    """An etcd data directory made from the snapshot, below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    snapshot = directory / "snapshot.db"
    snapshot.write_bytes(lzma.decompress(SNAPSHOT.read_bytes()))
    data = directory / "data"
    command = [str(require("etcdutl")), "snapshot", "restore", str(snapshot), "--data-dir", str(data)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    snapshot.unlink()
    return data
