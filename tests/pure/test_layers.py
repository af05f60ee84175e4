"""Imports point down only, and the pure layer reaches for no I/O, no Airflow and no clock."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "airflow_provider_llmserve"
ROOT = Path(__file__).resolve().parents[2] / PACKAGE
PURE = (
    "specs", "runtimes", "readiness", "adapters", "evaluation", "endpoint.py", "names.py", "registry.py", "owner.py", "place.py",
    "settings.py", "errors.py", "oip/wire.py", "platforms/local/plan.py", "platforms/local/assess.py",
)  # fmt: skip
"""Folders and files, from the package's root."""
TOP = {"operators", "sensors", "links", "hooks"}
FORBIDDEN_IN_PURE = {
    "airflow", "kubernetes", "kubernetes_asyncio", "aiohttp", "httpx", "requests", "urllib3", "socket", "subprocess",
    "asyncio", "time", "boto3", "fsspec", "threading",
}  # fmt: skip
# What endpoint.openai() and endpoint.oip() hand out is a client, made on request inside the function.
ALLOWED = {
    ("endpoint.py", "openai"),
    ("endpoint.py", f"{PACKAGE}.oip.client"),
    ("endpoint.py", f"{PACKAGE}.platforms.kubernetes.transport"),
}
"""By the whole path: ``runtimes/kubeai/endpoint.py`` may not."""

FILES = sorted(ROOT.rglob("*.py"))
MODULES = {".".join([PACKAGE, *f.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__") for f in FILES}


def imported(path: Path) -> set[str]:
    """Every module that the file imports for real (not only for type checking)."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and child.level == 0:
                inside = {f"{child.module}.{alias.name}" for alias in child.names} & MODULES
                found.update(inside or {child.module})
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def part_of(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.").split(".")[0]


def is_pure(path: Path) -> bool:
    inside = path.relative_to(ROOT).as_posix()
    return any(inside == part or inside.startswith(f"{part}/") for part in PURE)


def leads_into_pure(module: str) -> bool:
    """A module, or a package whose ``__init__`` is all that is loaded."""
    inside = module.removeprefix(f"{PACKAGE}.").replace(".", "/")
    return is_pure(ROOT / inside) or is_pure(ROOT / f"{inside}.py")


@pytest.mark.parametrize("path", [f for f in FILES if is_pure(f)], ids=lambda p: str(p.relative_to(ROOT)))
def test_pure_layer_is_pure(path: Path) -> None:
    modules = imported(path)
    outside = {m for m in modules if m.split(".")[0] in FORBIDDEN_IN_PURE}
    upwards = {m for m in modules if m.startswith(f"{PACKAGE}.") and not leads_into_pure(m)}
    upwards -= {m for m in upwards if any(str(path.relative_to(ROOT)) == f and m.startswith(a) for f, a in ALLOWED)}
    assert not outside | upwards
    assert "datetime.now(" not in path.read_text(), "time is an argument"


@pytest.mark.parametrize("path", sorted((ROOT / "replay").glob("*.py")), ids=lambda p: p.name)
def test_replay_reads_files_and_knows_the_pure_layer_alone(path: Path) -> None:
    modules = imported(path)
    assert not {m for m in modules if m.split(".")[0] in FORBIDDEN_IN_PURE}
    assert not {m for m in modules if m.startswith(f"{PACKAGE}.") and part_of(m) != "replay" and not leads_into_pure(m)}


def test_no_import_goes_round_in_a_circle() -> None:
    """Over full module paths, and what a module imports when it is loaded:
    what a function imports when it is called is its way out."""

    def named(path: Path) -> str:
        return ".".join([PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")

    known = {named(path): path for path in FILES}
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        loaded: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                loaded |= inside & set(known) or {node.module}
            elif isinstance(node, ast.Import):
                loaded |= {alias.name for alias in node.names}
        graph[name] = {m for m in loaded if m in known and m != name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        pytest.fail(f"imports go round: {' → '.join(e.args[1])}")


@pytest.mark.parametrize(
    "path", [f for f in FILES if f.relative_to(ROOT).parts[0] == "platforms"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_platforms_know_nothing_above_them(path: Path) -> None:
    assert not {m for m in imported(path) if m.startswith(f"{PACKAGE}.") and part_of(m) in TOP}
