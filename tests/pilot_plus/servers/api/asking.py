"""A client in process that holds every answer against the OpenAPI document of the API itself."""

import re
from typing import Any, Self

import httpx
import jsonschema

from pilot_plus.servers.api.openapi import document
from tests.pilot_plus.servers.api.hub import Hub

DOCUMENT: dict[str, Any] = document(Hub().api.routes, "test")


class Asking:
    """Asks a hub; `host` is what stands in the Host header."""

    def __init__(self, hub: Hub, host: str = "127.0.0.1:7080", **headers: str) -> None:
        self.hub = hub
        transport = httpx.ASGITransport(hub.api, raise_app_exceptions=True)
        self.client = httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        response = await self.client.request(method, path, **more)
        check(method, path, response)
        return response

    async def get(self, path: str, **more: Any) -> Any:
        response = await self("GET", path, **more)
        assert response.status_code == 200, response.text
        return response.json()


def check(method: str, path: str, response: httpx.Response) -> None:
    """The answer is one that the document promises."""
    kind = response.headers["content-type"]
    assert response.headers["x-pilot-plus-revision"]
    if response.status_code >= 400 and kind != "application/json":
        assert kind == "application/problem+json"
        if method != "HEAD":
            problem = response.json()
            assert problem["status"] == response.status_code
            assert problem["detail"]
            assert problem["revision"]
    operation = operation_of(method, path)
    if operation is None:
        assert response.status_code in (400, 401, 403, 404, 405)
        return
    promised = operation["responses"]
    assert str(response.status_code) in promised, f"{method} {path}: {response.status_code} {response.text}"
    content = promised[str(response.status_code)].get("content", {})
    if not content or method == "HEAD":
        assert not response.content
        return
    media = kind.partition(";")[0]
    schema = content[media].get("schema")
    if schema:
        jsonschema.validate(response.json(), {**schema, "components": DOCUMENT["components"]})


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    bare = path.partition("?")[0]
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare):
            found: dict[str, Any] | None = operations.get("get" if method == "HEAD" else method.lower())
            return found
    return None
