"""The house: rules about the tree itself that a linter doesn't know."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("pilot_plus", "registries", "edge_sidecar", "devservers")
LONGEST = {"module": 400, "function": 50}
"""Lines. What is longer has two subjects, or does two things."""
NO_NAME = re.compile(r"manager|helper|utils?|base|impl|misc", re.IGNORECASE)
"""Words that say nothing of what something is."""


def modules(*folders: str) -> list[Path]:
    """Modules of the tree, without those that are generated."""
    found = (file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return sorted(file for file in found if not file.name.endswith(("_pb2.py", "_pb2_grpc.py")))


def place(file: Path) -> str:
    return str(file.relative_to(ROOT))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_module_is_too_long_to_have_one_subject():
    lines = {place(file): len(file.read_text().splitlines()) for file in modules(*PRODUCT)}
    assert {name: count for name, count in lines.items() if count > LONGEST["module"]} == {}


def test_no_function_is_too_long_to_do_one_thing():
    found = {f"{place(file)} {node.name}": length(node) for file in modules(*PRODUCT) for node in functions(file)}
    assert {name: count for name, count in found.items() if count > LONGEST["function"]} == {}


def test_names_say_what_something_is():
    for file in modules(*PRODUCT, "tests", "bench"):
        assert not NO_NAME.fullmatch(file.stem), place(file)
        for name in re.findall(r"^\s*class (\w+)", file.read_text(), re.MULTILINE):
            assert not any(map(NO_NAME.fullmatch, re.findall(r"[A-Z][a-z]+", name))), f"{place(file)} {name}"


def test_a_module_says_in_its_first_line_what_it_is():
    for file in modules(*PRODUCT):
        said = ast.get_docstring(tree(file)) or ""
        assert re.search(r"[.:?]$", said.partition("\n")[0]) or not file.read_text().strip(), place(file)


def test_nothing_is_left_to_be_done():
    marks = re.compile(r"\bTODO\b|\bFIXME\b|\bXXX\b")
    for file in modules(*PRODUCT, "tests", "bench"):
        assert not marks.search(file.read_text()), place(file)


def test_who_silences_a_linter_says_why():
    silent = re.compile(r"#\s*(noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])\s*$", re.MULTILINE)
    for file in modules(*PRODUCT):
        assert not (found := silent.findall(file.read_text())), f"{place(file)}: {found}"


def test_the_pages_that_the_code_names_are_there():
    for file in modules(*PRODUCT, "tests", "bench"):
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text()):
            assert (ROOT / page).is_file(), f"{place(file)}: {page}"


def test_the_plan_of_the_house_shows_every_room_and_no_other():
    plan = re.findall(r"```\n(pilot_plus/.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)[0]
    shown = set(re.findall(r"(?:^|  )(\w+(?:/|\.py))(?=\s)", plan, re.MULTILINE))
    inside = {f"{one.name}/" if one.is_dir() else one.name for one in (ROOT / "pilot_plus").iterdir()}
    inside = {name for name in inside if not name.startswith(("__", "."))} - {"py.typed"}
    beside = {f"{one.name}/" for one in ROOT.iterdir() if (one / "__init__.py").is_file()}
    assert shown == inside | beside


def test_every_kind_of_registry_has_a_page_and_keeps_its_promises():
    kinds = {file.parent.name for file in (ROOT / "registries").glob("*/__init__.py")} - {"layouts"}
    assert kinds == {file.stem for file in (ROOT / "docs/registries").glob("*.md")}
    assert kinds <= {file.stem.removeprefix("backend_") for file in (ROOT / "tests/contract").glob("backend_*.py")}


@pytest.mark.parametrize("package", ["pilot_plus", "registries", "edge_sidecar"])
def test_tests_lie_where_what_they_test_lies(package: str):
    for file in modules(f"tests/{package}"):
        assert (ROOT / place(file.parent).removeprefix("tests/")).is_dir(), place(file)
