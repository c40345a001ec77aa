"""What a supply gives an Envoy, as files that it reads instead of asking a server."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from pilot_plus.views.xds.listener import OUTBOUND
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply
from pilot_plus.views.xds.tls import OWN, TRUST
from tests.pilot_plus.views.xds.reading import read


class Files:
    """A folder with a file for each type of resource."""

    def __init__(self, folder: Path, supply: Supply) -> None:
        self._folder = folder
        self._supply = supply
        self._written: dict[Path, str] = {}
        self.write()

    @property
    def bootstrap(self) -> dict[str, object]:
        dynamic = {"lds_config": self._source(Type.LISTENER), "cds_config": self._source(Type.CLUSTER)}
        return {"node": {"id": "test", "cluster": "test"}, "dynamic_resources": dynamic}

    def write(self) -> None:
        """Write what is not as it was; Envoy sees a file when it is moved into its place."""
        clusters = self._supply.names(Type.CLUSTER)
        for name in (OWN, TRUST):
            self._put(Type.SECRET, [name], name)
        for name in clusters:
            self._put(Type.ENDPOINTS, [name], name)
        self._put(Type.CLUSTER, clusters)
        self._put(Type.ROUTES, [OUTBOUND])
        self._put(Type.LISTENER, self._supply.names(Type.LISTENER))

    def _put(self, type_: Type, names: Iterable[str], alone: str = "") -> None:
        found = [read(self._supply, type_, name) for name in sorted(names)]
        content = [{"@type": type_, **self._redirected(MessageToDict(one))} for one in found if one is not None]
        text = json.dumps({"resources": content})
        file = self._file(type_, alone)
        if self._written.get(file) == text:
            return
        self._written[file] = text
        fresh = file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(file)

    def _redirected(self, content: Any, inside: str = "", name: str = "") -> Any:
        """The same with a file wherever it says that the server is to be asked."""
        if isinstance(content, list):
            return [self._redirected(one, inside, name) for one in content]
        if not isinstance(content, dict):
            return content
        if "ads" in content:
            return self._source(_BY_FIELD[inside], "" if _BY_FIELD[inside] is Type.ROUTES else name)
        return {key: self._redirected(value, key, content.get("name", name)) for key, value in content.items()}

    def _source(self, type_: Type, alone: str = "") -> dict[str, Any]:
        return {"path_config_source": {"path": str(self._file(type_, alone))}, "resource_api_version": "V3"}

    def _file(self, type_: Type, alone: str = "") -> Path:
        """Of all resources of a type, or of one alone, where Envoy reads no more from a file."""
        return self._folder / f"{type_.name.lower()}{'-' if alone else ''}{alone.replace('/', '-')}.json"


_BY_FIELD = {"edsConfig": Type.ENDPOINTS, "configSource": Type.ROUTES, "sdsConfig": Type.SECRET}
