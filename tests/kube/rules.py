"""What a real API server checks in what is written, and what it fills in.

Facts from Kubernetes' API reference and its validation (`pkg/apis/discovery/validation`, `pkg/apis/core/validation`),
for the fields that matter here.
"""

import re
from ipaddress import ip_address
from typing import Any

from tests.kube.resources import Resource
from tests.kube.status import Cause, bad_request, cause, invalid, required
from tests.kube.store import Object, Store

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
MAX_ANNOTATIONS = 256 * 1024
MAX_OBJECT = 1_500_000
"""Bytes of a request that etcd takes by default."""


def check(resource: Resource, new: Object, old: Object | None, *, special_addresses: bool = False) -> None:
    """Refuse an object that breaks the rules. `special_addresses`: let loopback and its like pass, as no real one does.

    Raises:
        Refusal: 400 where a field is of the wrong type, 422 where its value breaks a rule.
    """
    try:
        causes = _meta(resource, new["metadata"])
        match resource.plural:
            case "services":
                causes += _service(new)
            case "endpointslices":
                causes += _slice(new, old, special_addresses)
            case "leases":
                causes += _lease(new.get("spec") or {})
    except (AttributeError, KeyError, TypeError) as error:
        raise bad_request(f"{resource.kind} in version {resource.version!r} cannot be handled: {error}") from error
    if causes:
        raise invalid(resource.kind, resource.group, new["metadata"]["name"], causes)


def fill_in(resource: Resource, new: Object, store: Store) -> None:
    """What the server adds: the defaults of the kind."""
    if resource.plural == "services":
        _fill_service(new, store)
    if resource.plural == "endpointslices":
        for port in new.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")
        new.setdefault("endpoints", None)
        new.setdefault("ports", None)
    if resource.plural == "namespaces":
        new.setdefault("status", {"phase": "Active"})
        new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]


def _fill_service(new: Object, store: Store) -> None:
    spec = new.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    new.setdefault("status", {"loadBalancer": {}})
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if not spec.get("clusterIP"):
        number = store.revision + 1
        spec["clusterIP"] = f"10.96.{number // 250 % 250}.{number % 250 + 1}"
    spec.setdefault("clusterIPs", [spec["clusterIP"]])


def _meta(resource: Resource, meta: dict[str, Any]) -> list[Cause]:
    pattern = {"services": SERVICE_NAME, "namespaces": LABEL}.get(resource.plural, SUBDOMAIN)
    name, causes = meta["name"], []
    if not (pattern.fullmatch(name) and len(name) <= 253) and not resource.group.startswith("rbac"):
        causes.append(cause("metadata.name", name, "a lowercase RFC 1123 name is expected"))
    for key, value in (meta.get("labels") or {}).items():
        if not QUALIFIED.fullmatch(key):
            causes.append(cause("metadata.labels", key, "name part must consist of alphanumeric characters"))
        if not isinstance(value, str):
            raise bad_request(f"metadata.labels.{key}: expected string")
        if not LABEL_VALUE.fullmatch(value):
            causes.append(cause("metadata.labels", value, "a valid label must be an empty string or consist of …"))
    annotations = meta.get("annotations") or {}
    causes += [
        cause("metadata.annotations", key, "name part must consist of alphanumeric characters")
        for key in annotations
        if not QUALIFIED.fullmatch(key.lower())
    ]
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > MAX_ANNOTATIONS:
        causes.append(Cause("metadata.annotations", f"Too long: may not be more than {MAX_ANNOTATIONS} bytes"))
    return causes


def _service(new: Object) -> list[Cause]:
    spec = new["spec"]
    ports = spec.get("ports") or []
    causes = []
    if spec["type"] not in ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"):
        causes.append(Cause("spec.type", f'Unsupported value: "{spec["type"]}"', "FieldValueNotSupported"))
    if spec["type"] == "ExternalName":
        if not SUBDOMAIN.fullmatch((spec.get("externalName") or "").removesuffix(".")):
            causes.append(cause("spec.externalName", spec.get("externalName"), "a lowercase RFC 1123 subdomain"))
    elif not ports and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    seen = set()
    for number, port in enumerate(ports):
        at = f"spec.ports[{number}]"
        causes += _port_number(f"{at}.port", port["port"])
        if len(ports) > 1 and not port.get("name"):
            causes.append(required(f"{at}.name"))
        causes += _port_words(at, port)
        if port.get("name") in seen:
            causes.append(Cause(f"{at}.name", f'Duplicate value: "{port.get("name")}"', "FieldValueDuplicate"))
        seen.add(port.get("name"))
    return causes


def _slice(new: Object, old: Object | None, special_addresses: bool) -> list[Cause]:
    family = new.get("addressType")
    causes = []
    if not family:
        causes.append(required("addressType"))
    elif family not in ("IPv4", "IPv6", "FQDN"):
        causes.append(Cause("addressType", f'Unsupported value: "{family}"', "FieldValueNotSupported"))
    if old is not None and old["addressType"] != family:
        causes.append(cause("addressType", family, "field is immutable"))
    endpoints, ports = new.get("endpoints") or [], new.get("ports") or []
    if len(endpoints) > 1000:
        return [*causes, Cause("endpoints", "Too many: must have at most 1000 items", "FieldValueTooMany")]
    if len(ports) > 20_000:
        return [*causes, Cause("ports", "Too many: must have at most 20000 items", "FieldValueTooMany")]
    for number, endpoint in enumerate(endpoints):
        causes += _endpoint(f"endpoints[{number}]", endpoint, family, special_addresses)
    names = set()
    for number, port in enumerate(ports):
        at = f"ports[{number}]"
        causes += _port_words(at, port)
        if port.get("name") in names:
            causes.append(Cause(f"{at}.name", f'Duplicate value: "{port.get("name")}"', "FieldValueDuplicate"))
        names.add(port.get("name"))
        if port.get("port") is not None:
            causes += _port_number(f"{at}.port", port["port"])
    return causes


def _endpoint(at: str, endpoint: dict[str, Any], family: str | None, special_addresses: bool) -> list[Cause]:
    addresses = endpoint.get("addresses") or []
    causes = []
    if not addresses:
        causes.append(required(f"{at}.addresses", "must contain at least 1 address"))
    if len(addresses) > 100:
        causes.append(Cause(f"{at}.addresses", "Too many: must have at most 100 items", "FieldValueTooMany"))
    for number, address in enumerate(addresses):
        causes += _address(f"{at}.addresses[{number}]", address, family, special_addresses)
    hostname = endpoint.get("hostname")
    if hostname is not None and not LABEL.fullmatch(hostname):
        causes.append(cause(f"{at}.hostname", hostname, "a lowercase RFC 1123 label must consist of …"))
    for condition, value in (endpoint.get("conditions") or {}).items():
        if value is not None and not isinstance(value, bool):
            raise bad_request(f"{at}.conditions.{condition}: expected bool")
    return causes


def _address(at: str, address: str, family: str | None, special_addresses: bool) -> list[Cause]:
    if family == "FQDN":
        fine = "." in address and SUBDOMAIN.fullmatch(address.removesuffix("."))
        return [] if fine else [cause(at, address, "should be a domain with at least two segments separated by dots")]
    try:
        parsed = ip_address(address)
    except ValueError:
        return [cause(at, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    if parsed.version != (6 if family == "IPv6" else 4):
        return [cause(at, address, f"must be an {family} address")]
    if special_addresses:
        return []
    if parsed.is_unspecified:
        return [cause(at, address, f"may not be unspecified ({address})")]
    if parsed.is_loopback:
        return [cause(at, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if parsed.is_link_local:
        return [cause(at, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    if address.startswith("224.0.0.") or address.lower().startswith("ff02:"):
        return [cause(at, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")]
    return []


def _port_words(at: str, port: dict[str, Any]) -> list[Cause]:
    causes = []
    if port.get("name") and not LABEL.fullmatch(port["name"]):
        causes.append(cause(f"{at}.name", port["name"], "a lowercase RFC 1123 label must consist of …"))
    if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
        causes.append(Cause(f"{at}.protocol", f'Unsupported value: "{port.get("protocol")}"', "FieldValueNotSupported"))
    if port.get("appProtocol") and not QUALIFIED.fullmatch(port["appProtocol"]):
        causes.append(cause(f"{at}.appProtocol", port["appProtocol"], "name part must consist of …"))
    return causes


def _port_number(at: str, number: object) -> list[Cause]:
    if not isinstance(number, int) or isinstance(number, bool):
        raise bad_request(f"{at}: expected an integer")
    return [] if 1 <= number <= 65535 else [cause(at, number, "must be between 1 and 65535, inclusive")]


def _lease(spec: dict[str, Any]) -> list[Cause]:
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        return [cause("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        return [cause("spec.leaseTransitions", transitions, "must be greater than or equal to 0")]
    return []
