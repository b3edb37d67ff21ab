"""Make tests/data/stores/NAME.tar.xz: a small store as this build writes it, and what it holds.

Run once for each version of the formats, with the build that introduced it; the file then stays as it is, and every
later build must open it (tests/unit/engine/test_versions.py). NAME says what is special: `log` has no runs,
`runs` has them, `runs2` those of version 2, `recycled` has a segment in a file that was another one before.
"""

import json
import sys
import tarfile
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from brainctl.engine.engine import Engine, EngineOptions
from brainctl.mvcc.commit import Commit
from brainctl.mvcc.keyversion import KeyVersion, marshal_kv, put_version, tombstone

SEGMENT_BYTES = 16 << 10
COMMITS = 200


def main() -> int:
    """Make one."""
    name, out = sys.argv[1:]
    with TemporaryDirectory() as temporary:
        directory = Path(temporary) / "store"
        engine = Engine.open(directory, options=EngineOptions(segment_size=SEGMENT_BYTES), rng=Random(1))
        _fill(engine, Random(name), runs=name != "log")
        expected = _expected(engine)
        engine.close()
        (directory / "LOCK").unlink()
        with tarfile.open(Path(out) / f"{name}.tar.xz", "w:xz") as archive:
            for path in sorted(directory.iterdir()):
                _add(archive, f"store/{path.name}", path.read_bytes())
            _add(archive, "expected.json", json.dumps(expected, indent=1).encode())
    return 0


def _fill(engine: Engine, rng: Random, *, runs: bool) -> None:
    """Imported keys, puts with and without a lease, deletes, small records, compactions, reclaim."""
    kept = [KeyVersion(b"old/%d" % n, 3, 9, 2, 0, marshal_kv(b"old/%d" % n, 3, 9, 2, b"imported", 0)) for n in range(3)]
    _commit(engine, Commit(9, kept, [None] * 3, compact=9, imported=True))
    for number in range(COMMITS):
        revision = engine.view.revision + 1
        key = b"key/%02d" % rng.randrange(20)
        before = engine.view.get(key)
        if before is not None and rng.random() < 0.2:
            change = tombstone(key, revision, 0)
        else:
            lease = 7 if rng.random() < 0.2 else 0
            change = put_version(key, b"%d " % number * rng.choice((0, 5, 300)), lease, revision, 0, before)
        meta: dict[bytes, bytes | None] = {b"lease/0000000000000007": (60 + number).to_bytes(8)}
        _commit(engine, Commit(revision, [change], [before], meta=meta))
        if number % 30 == 29:
            _commit(engine, Commit(revision, compact=revision - 12))
            while engine.background.reclaim_step(1 << 20):
                pass
        if runs and number % 40 == 39:
            while engine.background.index_step(1 << 20, everything=True):
                pass


def _commit(engine: Engine, commit: Commit) -> None:
    prepared = engine.encode(commit)
    engine.write(prepared)
    engine.publish(commit, prepared)


def _expected(engine: Engine) -> dict[str, object]:
    first, last = max(engine.view.compacted, 1), engine.view.revision
    return {
        "revision": last,
        "compacted": engine.view.compacted,
        "records": {name.decode(): value.hex() for name, value in engine.meta(b"").items()},
        "live": {str(at): [_row(v) for v in engine.view.versions(b"", None, at)] for at in (first, last)},
        "history": [_row(v) for revision in engine.view.history(first, last) for v in revision.changes],
    }


def _row(version: KeyVersion) -> list[object]:
    key, create, mod, number, lease, kv, sub = version
    return [key.decode(), create, mod, number, lease, b64encode(kv).decode(), sub]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    archive.addfile(member, BytesIO(data))


if __name__ == "__main__":
    sys.exit(main())
