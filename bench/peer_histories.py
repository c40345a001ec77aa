"""Random histories of three hubs over real sockets, one after the other, for a chosen time; each must end as the model.

python -m bench peer_histories [--minutes 30] [--seed 1] [--steps 60]
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from bench.harness.figures import conditions, resident_of
from tests.feature import hub
from tests.feature.histories import live, net

PATIENCE = 180.0
"""Seconds: what is asked is whether it ends as the model, however busy the machine is."""


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    hub.PATIENCE = PATIENCE
    print(f"peer histories of {arguments.steps} steps, from seed {arguments.seed}; {conditions()}")
    until, histories = time.monotonic() + arguments.minutes * 60, 0
    with tempfile.TemporaryDirectory() as folder:
        async with net(Path(folder)) as made:
            while time.monotonic() < until:
                seed = arguments.seed + histories
                done = await live(made, seed, arguments.steps)
                await made.heal()
                begun = time.monotonic()
                try:
                    await made.until_all_agree()
                except AssertionError:
                    print(f"seed {seed} diverged: {'; '.join(done)}", flush=True)
                    raise
                histories += 1
                memory = max(resident_of(running.pid) for running in made.hubs.values()) / 1e6
                print(
                    f"seed {seed}: in step {time.monotonic() - begun:.1f} s after healing; largest hub {memory:.0f} MB",
                    flush=True,
                )
    print(f"{histories} histories, no divergence")


if __name__ == "__main__":
    asyncio.run(main())
