"""xDS: what a catalog looks like to Envoy and to proxyless gRPC clients, as resources of serialised bytes.

- `resource`: a named piece of configuration, and the types of xDS;
- `profile`: what a client says of itself, as far as it decides what the client gets;
- `supply`: the resources of all clients of one profile, and how they change: what the server asks;
- `stock`, `shelf`: the supplies over a catalog, kept up as it changes;
- `outlook`, `vista`: what one viewer sees of all services, and of one; `face`: what of that changes seldom;
- `rolls`, `roll`, `sheets`, `entrants`, `crowd`, `favour`: what a vista is kept in;
- `envoy`, `grpc`: how a vista becomes resources;
- `edge`, `inbound`, `gate`, `residents`, `callers`, `gateway`: what only edges get: who may call what, at which doors;
- `listener`, `route`, `cluster`, `endpoint`, `tls`: one kind of message each, from plain values to bytes;
- `encoding`: joining bytes into messages.
"""
