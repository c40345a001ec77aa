"""The edge sidecar: an agent around one Envoy, at the border of a zone or beside one application.

    hub ◀── session, renewal ───▶ agent ──▶ status.json
    hub ◀── xDS ──▶ relay (in the agent, keeps on disk what Envoy has acknowledged) ◀── xDS ──▶ Envoy

- `agent`: the one task group;
- `lifecycle`: which Envoy runs, drains or is due, as a pure state machine;
- `bootstrap`: what an Envoy is started with, pure;
- `envoy`: the program, its processes and its admin socket;
- `relay`: xDS between the hub and the Envoys of this agent; `uplink`: the stream to the hub;
- `membership`: its identity, renewed; `reporting`: its session, and what it tells there;
- `orders`, `place`: what it is told by signals, and what it holds for itself alone;
- `status`, `ledger`: what it leaves for people to read.
"""
