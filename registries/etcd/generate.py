"""Makes `wire_pb2.py` and `wire_pb2.pyi` from `wire.proto`: `python -m registries.etcd.generate` in the repository."""

import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "registries" / "etcd" / "wire.proto"
TYPES = Path(sys.executable).with_name("protoc-gen-mypy")


def main() -> int:
    """Run the compiler; its exit code."""
    plugin = f"--plugin=protoc-gen-mypy={TYPES}"
    return int(
        protoc.main(["protoc", plugin, f"-I{ROOT}", f"--python_out={ROOT}", f"--mypy_out=quiet:{ROOT}", str(PROTO)])
    )


if __name__ == "__main__":
    sys.exit(main())
