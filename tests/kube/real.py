"""A real `kube-apiserver` with its etcd, from the folder that `KUBEBUILDER_ASSETS` names: no controllers, no nodes.

No package registry has one. Where Go is installed it can be built in some minutes: in a module of its own that requires
`k8s.io/kubernetes v1.34.4` and replaces each `k8s.io/…` that lies in its `staging` by `v0.34.4`,
`go build -mod=mod k8s.io/kubernetes/cmd/kube-apiserver`. The etcd that `devservers` brings will do.
"""

import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from devservers.network import free_port
from tests.kube.rights import ADMIN

START_SECONDS = 60


def assets() -> Path | None:
    """The folder with the two programs, if somebody has one."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(named) if named else None


class RealKube:
    """Both processes. The same doors as those of the fake's `Process`."""

    def __init__(self, folder: Path, programs: Path, tokens: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._programs = programs
        self._tokens = {ADMIN: ADMIN, **(tokens or {})}
        self._running: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self._etcd_ports = (free_port(), free_port())
        self._generation = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        """It signs its own certificate, which nobody can verify."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def start(self) -> None:
        """Start both, and wait until the API is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        self._run("etcd", *self._etcd_options())
        self._run("kube-apiserver", *self._api_options())
        until = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert time.monotonic() < until, "kube-apiserver is not ready"
            assert all(process.poll() is None for process in self._running), "kube-apiserver or etcd ended"
            time.sleep(0.2)

    def forget(self) -> None:
        """Begin with no data at the next start."""
        self._generation += 1

    def kill(self) -> None:
        """SIGKILL both, and wait."""
        for process in self._running:
            process.kill()
            process.wait()
        self._running.clear()

    def pause(self) -> None:
        """SIGSTOP both."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT both."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self._running:
            os.kill(process.pid, number)

    def _run(self, program: str, *options: str) -> None:
        log = (self._folder / f"{program}.log").open("ab")
        command = [str(self._programs / program), *options]
        self._running.append(subprocess.Popen(command, stdout=log, stderr=log))
        log.close()

    def _write_files(self) -> None:
        lines = [f'{token},{user},{user},"system:masters"' for token, user in self._tokens.items() if user == ADMIN]
        lines += [f"{token},{user},{user}" for token, user in self._tokens.items() if user != ADMIN]
        (self._folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        key = self._folder / "account.key"
        if not key.exists():
            made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            form = serialization.PrivateFormat.TraditionalOpenSSL
            key.write_bytes(made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))

    def _etcd_options(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        return [
            f"--data-dir={self._folder / f'etcd-{self._generation}'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _api_options(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_ports[0]}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # which would refuse a loopback address
            f"--secure-port={self.port}",
            f"--cert-dir={self._folder / 'certificates'}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._folder / 'account.key'}",
            f"--service-account-signing-key-file={self._folder / 'account.key'}",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/16",
        ]

    def _is_ready(self) -> bool:
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN}"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=self.tls) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
