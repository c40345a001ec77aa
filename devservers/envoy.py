"""Envoy: the real proxy, with a bootstrap of the test's own."""

import json
from collections.abc import Mapping

from devservers.network import HOST, fetch
from devservers.parts import ENVOY, tool
from devservers.process import Server


class Envoy(Server):
    """An Envoy that runs a bootstrap (as a mapping, or its text in JSON or YAML).

    `address` and `url` are its admin port, which is added to a mapping that has none; a text must name one,
    in `admin_port`.
    """

    kind = "envoy"

    def __init__(
        self, bootstrap: Mapping[str, object] | str, *, admin_port: int | None = None, log_level: str = "warning"
    ) -> None:
        """Choose what it does; `with` starts it."""
        super().__init__()
        if isinstance(bootstrap, str) and admin_port is None:
            raise ValueError("a bootstrap that is a text needs its admin_port named")
        self.port = admin_port or self.port
        self._bootstrap = bootstrap
        self._log_level = log_level

    def get(self, path: str) -> str:
        """Ask the admin port: `/stats?filter=…`, `/clusters`, `/config_dump`."""
        return fetch(f"{self.url}{path}").decode()

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Return the counters and gauges whose names match the pattern."""
        found = json.loads(self.get(f"/stats?format=json&filter={pattern}"))["stats"]
        return {each["name"]: int(each["value"]) for each in found if "value" in each}

    def _prepare(self) -> None:
        super()._prepare()
        text = self._bootstrap if isinstance(self._bootstrap, str) else json.dumps(self._with_admin(self._bootstrap))
        (self.folder / "envoy.yaml").write_text(text)

    def _with_admin(self, bootstrap: Mapping[str, object]) -> dict[str, object]:
        admin = {"address": {"socket_address": {"address": HOST, "port_value": self.port}}}
        return {"admin": admin, **bootstrap}

    def _command(self) -> list[str]:
        quiet = ["--disable-hot-restart", "--concurrency", "1", "--log-level", self._log_level]
        return [str(tool(ENVOY).path), "-c", str(self.folder / "envoy.yaml"), *quiet]

    def _environment(self) -> Mapping[str, str]:
        return tool(ENVOY).environment

    def _is_ready(self) -> bool:
        return fetch(f"{self.url}/ready").strip() == b"LIVE"
