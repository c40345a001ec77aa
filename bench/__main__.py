"""Runs the benchmarks that are named, or all: `python -m bench [NAME …]`."""

import pkgutil
import runpy
import sys
from pathlib import Path


def main() -> int:
    known = sorted(name for _, name, _ in pkgutil.iter_modules([str(Path(__file__).parent)]) if name != "__main__")
    chosen = sys.argv[1:] or known
    if unknown := set(chosen) - set(known):
        sys.stderr.write(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(known)}\n")
        return 2
    for name in chosen:
        sys.argv = [name]
        runpy.run_module(f"bench.{name}", run_name="__main__")
    return 0


sys.exit(main())
