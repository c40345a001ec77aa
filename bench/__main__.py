"""Runs the benchmarks that are named, or all: `python -m bench [NAME …] [OPTIONS of the only one]`."""

import itertools
import pkgutil
import runpy
import sys
from pathlib import Path


def main() -> int:
    known = sorted(
        name for _, name, _ in pkgutil.iter_modules([str(Path(__file__).parent)]) if name not in ("__main__", "harness")
    )
    named = list(itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))
    chosen, options = named or known, sys.argv[1 + len(named) :]
    if unknown := set(chosen) - set(known):
        sys.stderr.write(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(known)}\n")
        return 2
    for name in chosen:
        sys.argv = [name, *options]
        runpy.run_module(f"bench.{name}", run_name="__main__")
    return 0


sys.exit(main())
