"""A proxyless gRPC client, as a process of its own: `python grpc_caller.py TARGET TEXT`, with GRPC_XDS_BOOTSTRAP."""

import sys

import grpc
import grpc.experimental


def main() -> None:
    target, text = sys.argv[1:]
    credentials = grpc.xds_channel_credentials(grpc.experimental.insecure_channel_credentials())
    with grpc.secure_channel(target, credentials) as channel:
        print(channel.unary_unary("/test.Echo/Say")(text.encode(), timeout=15, wait_for_ready=True).decode())


if __name__ == "__main__":
    main()
