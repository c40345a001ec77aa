"""xDS: what a catalog looks like to Envoy and to proxyless gRPC clients, as resources of serialised bytes.

- `resource`: a named piece of configuration, and the types of xDS;
- `profile`: what a client says of itself, as far as it decides what the client gets;
- `supply`: the resources of all clients of one profile, and how they change.
"""
