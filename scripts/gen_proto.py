"""Regenerate brainctl/etcdpb/*_pb2.py and *_pb2.pyi from the .proto files beside them.

With --check nothing is written: exit 1 when the committed files differ from what would be generated.
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "brainctl" / "etcdpb"


def generate(target: Path) -> None:
    """Run protoc on every .proto of the package, writing below `target`."""
    protos = sorted(str(path.relative_to(ROOT)) for path in PACKAGE.glob("*.proto"))
    code = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={target}", f"--pyi_out={target}", *protos])
    if code:
        sys.exit(code)


def main() -> None:
    """Entry point."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        fresh = sorted(Path(name, "brainctl", "etcdpb").iterdir())
        stale = [p.name for p in fresh if p.read_bytes() != (PACKAGE / p.name).read_bytes()]
    if stale:
        sys.exit(f"generated files are stale: {', '.join(stale)}; run scripts/gen_proto.py")


if __name__ == "__main__":
    main()
