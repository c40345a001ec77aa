"""What a kubeconfig may make us do, and what it may not."""

import base64
import ssl
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devservers.tls import Tls
from pilot_plus.ports import SourceLost
from registries.kubernetes import Settings
from registries.kubernetes.kubeconfig import Access, access


def write(folder: Path, cluster: dict[str, Any], user: dict[str, Any] | None = None) -> str:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://kube.example:6443", **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "one",
    }
    file = folder / "kubeconfig"
    file.write_text(msgspec.json.encode(config).decode())
    return str(file)


def read(folder: Path, cluster: dict[str, Any], user: dict[str, Any] | None = None, **settings: Any) -> Access:
    return access(Settings(kubeconfig=write(folder, cluster, user), **settings))


def refusal(folder: Path, cluster: dict[str, Any], user: dict[str, Any] | None = None, **settings: Any) -> str:
    with pytest.raises(SourceLost) as refused:
        read(folder, cluster, user, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_a_token_is_taken_as_it_stands(tmp_path: Path):
    found = read(tmp_path, {}, {"token": "t0k"})
    assert str(found.server) == "https://kube.example:6443"
    assert await found.credentials.token() == "t0k"
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_REQUIRED


async def test_a_token_file_in_its_folder_or_below_is_read_each_time(tmp_path: Path):
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "token"
    file.write_text("first\n")
    found = read(tmp_path, {}, {"tokenFile": "below/token"})
    assert await found.credentials.token() == "first"
    file.write_text("second\n")
    assert await found.credentials.token() == "second"
    file.unlink()
    with pytest.raises(SourceLost, match=r"token file .*No such file"):
        await found.credentials.token()


@pytest.mark.parametrize("path", ["../token", "/etc/hostname", "below/../../token", "link"])
def test_a_file_elsewhere_needs_to_be_allowed_whatever_way_leads_there(tmp_path: Path, path: str):
    inner = tmp_path / "inner"
    (inner / "below").mkdir(parents=True)
    (tmp_path / "token").write_text("secret")
    (inner / "link").symlink_to(tmp_path / "token")
    for user in ({"tokenFile": path}, {"client-certificate": path, "client-key": path}):
        why = refusal(inner, {}, user)
        assert "outside of its folder" in why
        assert "settings.allow holds 'files'" in why
        assert "secret" not in why
    assert "outside of its folder" in refusal(inner, {"certificate-authority": path})
    read(inner, {}, {"tokenFile": path}, allow=("files",))


def test_certificates_come_from_files_or_from_the_text_itself(tmp_path: Path, tls: Tls):
    files = {"ca": tls.ca, "cert": tls.client.cert, "key": tls.client.key}
    for name, source in files.items():
        (tmp_path / name).write_bytes(Path(source).read_bytes())
    inline = {name: base64.b64encode(Path(source).read_bytes()).decode() for name, source in files.items()}
    for cluster, user in (
        ({"certificate-authority": "ca"}, {"client-certificate": "cert", "client-key": "key"}),
        (
            {"certificate-authority-data": inline["ca"], "tls-server-name": "other"},
            {"client-certificate-data": inline["cert"], "client-key-data": inline["key"]},
        ),
    ):
        found = read(tmp_path, cluster, user)
        assert found.tls is not None
        assert len(found.tls.get_ca_certs()) == 1
        assert found.server_name == cluster.get("tls-server-name", "")
    why = refusal(tmp_path, {}, {"client-certificate": "cert", "client-key": "ca"})
    assert "no pair" in why
    assert "no base64" in refusal(tmp_path, {"certificate-authority-data": "*"})
    (tmp_path / "ca").write_text("nothing")
    assert "no PEM" in refusal(tmp_path, {"certificate-authority": "ca"})


def test_doing_without_verification_or_tls_needs_to_be_allowed(tmp_path: Path):
    unverified = {"insecure-skip-tls-verify": True}
    assert "settings.allow holds 'insecure'" in refusal(tmp_path, unverified)
    found = read(tmp_path, unverified, allow=("insecure",))
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_NONE
    assert "has no TLS" in refusal(tmp_path, {"server": "http://kube.example:80"})
    assert read(tmp_path, {"server": "http://127.0.0.1:8001"}).tls is None


PLUGIN = """
import json, os, sys
assert json.loads(os.environ["KUBERNETES_EXEC_INFO"])["spec"] == {"interactive": False}
count = open("COUNT", "a"); count.write("x"); count.close()
token = os.environ["PREFIX"] + str(os.path.getsize("COUNT"))
print(json.dumps({"apiVersion": sys.argv[1], "kind": "ExecCredential", "status": {"token": token}}))
"""


def plugin(folder: Path, code: str, **more: Any) -> dict[str, Any]:
    file = folder / "plugin.py"
    file.write_text(code.replace("COUNT", str(folder / "count")))
    version = "client.authentication.k8s.io/v1"
    env = [{"name": "PREFIX", "value": "t"}]
    return {
        "exec": {"command": sys.executable, "args": [str(file), version], "apiVersion": version, "env": env, **more}
    }


async def test_a_credential_plugin_runs_only_if_allowed_and_again_when_its_token_is_refused(tmp_path: Path):
    user = plugin(tmp_path, PLUGIN)
    why = refusal(tmp_path, {}, user)
    assert "settings.allow holds 'exec'" in why
    assert not (tmp_path / "count").exists()
    credentials = read(tmp_path, {}, user, allow=("exec",)).credentials
    assert [await credentials.token(), await credentials.token()] == ["t1", "t1"]
    assert await credentials.token(refused=True) == "t2"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("print('no JSON')", "printed no ExecCredential"),
        ('print(\'{"apiVersion": "v1", "kind": "ExecCredential"}\')', "holds no token"),
    ],
)
async def test_a_credential_plugin_that_fails_is_a_loss(tmp_path: Path, code: str, why: str):
    credentials = read(tmp_path, {}, plugin(tmp_path, code), allow=("exec",)).credentials
    with pytest.raises(SourceLost, match=why):
        await credentials.token()


async def test_a_credential_plugin_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("registries.kubernetes.access.EXEC_TIMEOUT", 0.2)
    user = plugin(tmp_path, "import time; time.sleep(600)")
    credentials = read(tmp_path, {}, user, allow=("exec",)).credentials
    with pytest.raises(SourceLost, match="no answer within"):
        await credentials.token()


@pytest.mark.parametrize(
    ("cluster", "user", "why"),
    [
        ({"server": "kube:6443"}, {}, "expected https"),
        ({"server": "https://user:secret@kube"}, {}, "expected https"),
        ({"proxy-url": "http://p"}, {}, "proxy-url is not supported"),
        ({}, {"username": "u", "password": "secret"}, "username is not supported"),
        ({}, {"as": "root"}, "as is not supported"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider is not supported"),
        ({}, {"exec": {"command": "x", "apiVersion": "v0"}}, "apiVersion 'v0' is unknown"),
    ],
)
def test_what_is_not_supported_is_said(tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], why: str):
    said = refusal(tmp_path, cluster, user, allow=("exec",))
    assert why in said
    assert "secret" not in said


def test_a_context_that_is_not_there_is_named_with_those_that_are(tmp_path: Path):
    assert "no context 'two'; there are one" in refusal(tmp_path, {}, context="two")


@pytest.mark.parametrize(("text", "why"), [("{", "no YAML"), ("[1]", "Expected"), ("clusters: 3", "Expected")])
def test_a_kubeconfig_that_is_none_is_said_without_a_word_of_it(tmp_path: Path, text: str, why: str):
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(SourceLost, match=why):
        access(Settings(kubeconfig=str(file)))


def test_outside_of_a_cluster_a_kubeconfig_is_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SourceLost, match="no kubeconfig is set, and this is no pod"):
        access(Settings())


async def test_in_a_pod_the_service_account_is_used_and_its_token_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: Tls
):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "ca.crt").symlink_to(tls.ca)
    (tmp_path / "token").write_text("one")
    (tmp_path / "namespace").write_text("shop\n")
    settings = Settings(service_account=str(tmp_path))
    found = access(settings)
    assert str(found.server) == "https://10.96.0.1"
    assert await found.credentials.token() == "one"
    (tmp_path / "token").write_text("two")
    assert await found.credentials.token() == "two"
    assert settings.lock_namespace == "shop"
