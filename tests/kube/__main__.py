"""`python -m tests.kube --port 0`: the fake API server as a process; it prints its port."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.kube.api import Settings
from tests.kube.running import kubeconfig, serving
from tests.kube.store import Store


async def _main(arguments: argparse.Namespace) -> None:
    settings = Settings(bookmark_every=arguments.bookmarks, special_addresses=arguments.special_addresses)
    async with serving(Store(arguments.data), settings, port=arguments.port) as (_, url):
        if arguments.kubeconfig:
            arguments.kubeconfig.write_text(kubeconfig(url))
        sys.stdout.write(f"{url.rpartition(':')[2]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Parse the command line and serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.kube", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, help="a file that keeps the objects over restarts")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig for this server here")
    parser.add_argument("--bookmarks", type=float, default=60.0, help="seconds between bookmarks")
    parser.add_argument("--special-addresses", action="store_true", help="take loopback addresses in slices")
    try:
        asyncio.run(_main(parser.parse_args()))
    except KeyboardInterrupt:
        return


main()
