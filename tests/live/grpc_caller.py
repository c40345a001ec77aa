"""A proxyless gRPC client in a process of its own: calls without end, and says what it got, a JSON object a line.

python -m tests.live.grpc_caller TARGET        GRPC_XDS_BOOTSTRAP names the bootstrap
"""

import json
import sys
import threading
import time
from collections.abc import Iterator

import grpc

SAYING = threading.Lock()


def say(**what: object) -> None:
    with SAYING:
        print(json.dumps(what), flush=True)


def call(channel: grpc.Channel) -> None:
    """Unary calls, one after the other."""
    ask = channel.unary_unary("/live.Echo/Say")
    while True:
        try:
            say(by=ask(b"?", timeout=10, wait_for_ready=True).decode())
        except grpc.RpcError as error:
            say(failed=f"{error.code()} {error.details()}")
        time.sleep(0.01)  # a pace, not a wait


def stream(channel: grpc.Channel) -> None:
    """One stream that stays."""

    def questions() -> Iterator[bytes]:
        while True:
            yield b"?"
            time.sleep(0.02)  # a pace, not a wait

    try:
        for answer in channel.stream_stream("/live.Echo/Talk")(questions(), wait_for_ready=True):
            say(streamed=answer.decode())
    except grpc.RpcError as error:
        say(failed=f"stream: {error.code()} {error.details()}")


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        threading.Thread(target=stream, args=(channel,), daemon=True).start()
        call(channel)


if __name__ == "__main__":
    main()
