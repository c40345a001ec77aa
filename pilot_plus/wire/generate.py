"""Makes `NAME_pb2.py` and `NAME_pb2.pyi` from each `NAME.proto` here: `python -m pilot_plus.wire.generate`."""

import sys
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TYPES = Path(sys.executable).with_name("protoc-gen-mypy")


def main() -> int:
    """Run the compiler; its exit code."""
    plugin = f"--plugin=protoc-gen-mypy={TYPES}"
    protos = map(str, sorted(HERE.glob("*.proto")))
    return int(
        protoc.main(["protoc", plugin, f"-I{ROOT}", f"--python_out={ROOT}", f"--mypy_out=quiet:{ROOT}", *protos])
    )


if __name__ == "__main__":
    sys.exit(main())
