"""What the configuration says of a Kubernetes registry."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from registries.kubernetes.names import is_label, is_label_value

Allowance = Literal["exec", "files", "insecure"]

EVERY_NAMESPACE: Final = "*"
SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the API server is, what is read from it, and what its kubeconfig may make us do."""

    kubeconfig: str = ""
    """The file that says how to reach the API server; `~` is the home folder. Empty: we run in the cluster."""
    context: str = ""
    """The context of the kubeconfig; empty is its current one."""
    namespaces: tuple[str, ...] = (EVERY_NAMESPACE,)
    """The namespaces that are read. `*` is all of them, and needs a ClusterRole; a list needs a Role in each."""
    selector: str | dict[str, str] = ""
    """Only Services with these labels, as `kubectl -l` writes it (`team=shop,tier!=db`) or as a mapping."""
    allow: tuple[Allowance, ...] = ()
    """What a kubeconfig may ask for only if this says so: `exec` (run a credential plugin), `files` (read files outside
    the kubeconfig's folder), `insecure` (an unverified certificate, or no TLS to a server that is not on loopback)."""
    page_size: int = 500
    """Objects in a page of a list at the most; large objects come in smaller pages."""
    service_account: str = SERVICE_ACCOUNT
    """In the cluster: the folder with `token` and `ca.crt`."""
    cluster: str = ""
    """Our cluster's name, which labels what is written here; needed for writing only."""
    multicluster: bool = True
    """Whether writing adds a `ServiceImport` where its definition is installed."""
    locks: str = ""
    """The namespace of the locks of hubs that write here; empty: the pod's own, else the first of `namespaces`, else
    `default`."""

    def __post_init__(self) -> None:
        """Refuse what can't work, with the key's name."""
        if not self.namespaces or not all(self.namespaces):
            raise ValueError('namespaces: expected names, or ["*"] for all of them')
        if EVERY_NAMESPACE in self.namespaces and len(self.namespaces) > 1:
            raise ValueError('namespaces: expected either ["*"] or names, found both')
        if len(set(self.namespaces)) != len(self.namespaces):
            raise ValueError("namespaces: one stands there twice")
        for namespace in self.namespaces:
            if namespace != EVERY_NAMESPACE and not is_label(namespace):
                raise ValueError(f"namespaces: {namespace[:100]!r} is no name of a namespace")
        if not 1 <= self.page_size <= 10_000:
            raise ValueError(f"page_size: expected 1 to 10000, found {self.page_size}")
        if self.context and not self.kubeconfig:
            raise ValueError("context: it names a context of a kubeconfig: set kubeconfig too")
        if self.cluster and not is_label_value(self.cluster):
            raise ValueError(f"cluster: {self.cluster[:100]!r} can't be the value of a label")
        if self.locks and not is_label(self.locks):
            raise ValueError(f"locks: {self.locks[:100]!r} is no name of a namespace")

    @property
    def label_selector(self) -> str:
        """The selector as the API takes it."""
        if isinstance(self.selector, str):
            return self.selector
        return ",".join(f"{name}={value}" for name, value in sorted(self.selector.items()))

    @property
    def lock_namespace(self) -> str:
        """Where the locks are."""
        if self.locks:
            return self.locks
        file = Path(self.service_account) / "namespace"
        if not self.kubeconfig and file.is_file():
            return file.read_text().strip()
        return "default" if EVERY_NAMESPACE in self.namespaces else self.namespaces[0]

    def sees(self, namespace: str) -> bool:
        """Whether a namespace is read."""
        return EVERY_NAMESPACE in self.namespaces or namespace in self.namespaces
