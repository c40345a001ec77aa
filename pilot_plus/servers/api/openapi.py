"""OpenAPI: the document that describes the API, generated from its routes and shapes."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec

from pilot_plus.servers.api.problem import PROBLEM_TYPE, ProblemShape
from pilot_plus.servers.api.route import Parameter, Route

Json: TypeAlias = dict[str, object]

_ALWAYS: Final = (400, 401, 403)
_REVISION: Final[Json] = {
    "type": "object",
    "properties": {"revision": {"type": "string", "description": "The catalog's revision; opaque."}},
    "required": ["revision"],
}


def document(routes: Iterable[Route], version: str) -> Json:
    """The OpenAPI 3.1 document of these routes."""
    routes = list(routes)
    given = [shape for route in routes for shape in (route.gives, route.gives_else) if isinstance(shape, type)]
    taken = [route.takes for route in routes if route.takes]
    shapes: list[type[msgspec.Struct]] = list(dict.fromkeys([ProblemShape, *given, *taken]))
    schemas, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    refs: dict[type[msgspec.Struct], Json] = dict(zip(shapes, schemas, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pilot Plus",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, refs: dict[type[msgspec.Struct], Json]) -> Json:
    operation: Json = {
        "summary": route.about,
        "operationId": f"{route.method.lower()}{_words(route.path)}",
        "parameters": [*_names_in(route.path), *map(_parameter, route.query)],
        "responses": _responses(route, refs),
    }
    if route.takes:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": refs[route.takes]}}}
    if route.role:
        operation["security"] = [{"token": []}]
        operation["description"] = f"Off loopback a token with the role `{route.role}` is needed."
    return operation


def _words(path: str) -> str:
    return "".join(part.strip("{}").replace(".", "_").title() for part in path.split("/"))


def _names_in(path: str) -> Iterable[Json]:
    for part in path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _parameter(parameter: Parameter) -> Json:
    schema: Json = {"type": "integer", "minimum": 1} if parameter.is_number else {"type": "string"}
    if parameter.values:
        schema["enum"] = list(parameter.values)
    return {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}


def _responses(route: Route, refs: dict[type[msgspec.Struct], Json]) -> Json:
    done: Json = {"description": HTTPStatus(route.status).phrase, "headers": _revision_header()}
    if isinstance(route.gives, str):
        done["content"] = {route.gives: {}}
    elif route.gives:
        shape = {"anyOf": [refs[route.gives], refs[route.gives_else]]} if route.gives_else else refs[route.gives]
        done["content"] = {"application/json": {"schema": {"allOf": [shape, _REVISION]}}}
    responses: Json = {str(route.status): done}
    if route.path == "/readyz":
        responses["503"] = done
    problem = {"allOf": [refs[ProblemShape], _REVISION]}
    extra = (413, 415) if route.takes else ()
    for status in sorted({*_ALWAYS, *extra, *route.problems}):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_TYPE.decode(): {"schema": problem}},
        }
    return responses


def _revision_header() -> Json:
    return {"X-Pilot-Plus-Revision": {"description": "The catalog's revision.", "schema": {"type": "string"}}}
