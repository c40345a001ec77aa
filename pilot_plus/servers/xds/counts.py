"""Counts: what the xDS server tells Prometheus, by type."""

from typing import Final

from prometheus_client import Counter, Gauge

from pilot_plus import metrics
from pilot_plus.servers.xds.requests import DeltaRequest, StateRequest
from pilot_plus.servers.xds.responses import Response
from pilot_plus.views.xds.resource import Type

SENT: Final = Counter("pilot_plus_xds_sent", "Responses sent.", ["type"], registry=metrics.REGISTRY)
BYTES: Final = Counter("pilot_plus_xds_sent_bytes", "Bytes of responses sent.", ["type"], registry=metrics.REGISTRY)
ACCEPTED: Final = Counter("pilot_plus_xds_accepted", "Responses accepted.", ["type"], registry=metrics.REGISTRY)
REJECTED: Final = Counter("pilot_plus_xds_rejected", "Responses rejected.", ["type"], registry=metrics.REGISTRY)
STREAMS: Final = Gauge("pilot_plus_xds_streams", "Clients with a stream.", registry=metrics.REGISTRY)

_SENT: Final = {type_: (SENT.labels(type_.name.lower()), BYTES.labels(type_.name.lower())) for type_ in Type}
_HEARD: Final = {
    str(type_): (ACCEPTED.labels(type_.name.lower()), REJECTED.labels(type_.name.lower())) for type_ in Type
}


def sent(response: Response) -> None:
    """A response has gone out."""
    number, size = _SENT[response.type]
    number.inc()
    size.inc(len(response.body))


def answered(request: StateRequest | DeltaRequest) -> None:
    """A client has accepted or rejected what was out."""
    accepted, rejected = _HEARD[request.type]
    (accepted if request.error is None else rejected).inc()
