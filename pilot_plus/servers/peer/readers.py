"""Readers: the hubs that read from this one now, as operators ask for them."""

from time import monotonic

from pilot_plus.views.peers import ReaderShape


class Reader:
    """One open stream."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.since = monotonic()
        self.sent = 0
        """The revision that was sent last."""
        self.heard = 0
        """The revision up to which the reader says that it holds everything."""
        self.heard_at = monotonic()
        self.bytes = 0
        self.records = 0

    def hear(self, revision: int) -> None:
        """The reader holds everything up to a revision."""
        self.heard, self.heard_at = max(revision, self.heard), monotonic()


class Readers:
    """All open streams, by cluster: the newest of a cluster counts."""

    def __init__(self) -> None:
        self._of: dict[str, Reader] = {}

    def enter(self, cluster: str) -> Reader:
        """A stream begins."""
        reader = self._of[cluster] = Reader(cluster)
        return reader

    def leave(self, reader: Reader) -> None:
        """A stream has ended."""
        if self._of.get(reader.cluster) is reader:
            del self._of[reader.cluster]

    def shape(self, cluster: str) -> ReaderShape | None:
        """What is known of the reader of a cluster; None: nobody reads for it."""
        reader = self._of.get(cluster)
        if reader is None:
            return None
        lag = max(0, reader.sent - reader.heard)
        return ReaderShape(
            since_s=round(monotonic() - reader.since, 3),
            revision=reader.heard,
            lag=lag,
            lag_s=round(monotonic() - reader.heard_at, 3) if lag else 0.0,
            bytes=reader.bytes,
            records=reader.records,
        )
