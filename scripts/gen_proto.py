"""Regenerate *_pb2.py and *_pb2.pyi of brainctl/etcdpb and brainctl/tikvpb from the .proto files beside them.

With --check nothing is written: exit 1 when the committed files differ from what would be generated.
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("brainctl/etcdpb", "brainctl/tikvpb")


def generate(target: Path) -> None:
    """Run protoc on every .proto of the packages, writing below `target`."""
    protos = sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).glob("*.proto"))
    code = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={target}", f"--pyi_out={target}", *protos])
    if code:
        sys.exit(code)


def _same(fresh: Path, kept: Path) -> bool:
    return kept.is_file() and fresh.read_bytes() == kept.read_bytes()


def main() -> None:
    """Entry point."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        fresh = sorted(path for path in Path(name).rglob("*") if path.is_file())
        stale = [str(p.relative_to(name)) for p in fresh if not _same(p, ROOT / p.relative_to(name))]
    if stale:
        sys.exit(f"generated files are stale: {', '.join(stale)}; run scripts/gen_proto.py")


if __name__ == "__main__":
    main()
