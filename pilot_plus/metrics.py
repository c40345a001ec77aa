"""What the hub counts while it runs. What can be read off a catalog (instances, ages) is read at the scrape instead."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
"""Everything of ours; nothing of the process-wide default registry."""

UPDATES = Counter("pilot_plus_updates", "Updates heard from a source.", ["registry"], registry=REGISTRY)
RECONNECTS = Counter("pilot_plus_reconnects", "Times a source was opened again.", ["registry"], registry=REGISTRY)
PEER_BYTES = Counter(
    "pilot_plus_peer_received_bytes",
    "Bytes of messages read from a peer, before compression.",
    ["peer"],
    registry=REGISTRY,
)
PUBLISH = Histogram(
    "pilot_plus_publish_seconds",
    "From an update's arrival to its publication.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
HISTORY_ROWS = Counter("pilot_plus_history_rows", "Changes and events written into history.", registry=REGISTRY)
HISTORY_MERGED = Counter(
    "pilot_plus_history_merged", "States of a service that history has not seen each alone.", registry=REGISTRY
)
HISTORY_BYTES = Gauge("pilot_plus_history_bytes", "What history weighs in the journal.", registry=REGISTRY)
