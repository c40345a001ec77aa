"""`python -m bench soak`: run it, and say what came of it."""

import argparse
import asyncio
import sys

from bench.soak.running import Plan, soak
from bench.soak.stand import KINDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description="Soak the hub in changes and faults.")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS), help="which registries, with commas")
    parser.add_argument("--rate", type=float, default=10.0, help="changes a second, of all registries together")
    parser.add_argument("--journal", choices=["sqlite", "postgresql"], default="sqlite")
    said = parser.parse_args()
    plan = Plan(
        seconds=said.minutes * 60,
        seed=said.seed,
        kinds=tuple(said.kinds.split(",")),
        rate=said.rate,
        journal=said.journal,
    )
    report = asyncio.run(soak(plan, lambda line: print(line, file=sys.stderr, flush=True)))
    print(report)
    return 1 if report.divergences else 0


if __name__ == "__main__":
    sys.exit(main())
