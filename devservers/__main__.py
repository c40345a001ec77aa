"""`python -m devservers`: brings the servers that this machine lacks, and says where each one is."""

import sys

from devservers.bring import bring
from devservers.parts import PARTS


def main() -> int:
    """Bring everything; return 1 if something could not be brought."""
    problems = bring(say=lambda line: print(line, file=sys.stderr, flush=True))
    for part in PARTS:
        if part.is_here():
            print(f"{part.name:10}{part.find(part.wanted[0])}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
