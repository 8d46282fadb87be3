"""Who may import whom: ARCHITECTURE.md as a test.

Imports are read from the source, wherever they stand: inside functions and under TYPE_CHECKING too.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
GROUND = {"stoker", "stoker.core", "stoker.errors"}

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "errors": set(),
    "protos": set(),
    "tensors": set(),
    "ipc": set(),
    "archive": set(),
    "config": {"stoker.tensors"},
    "telemetry": set(),
    "client": {"stoker.protos"},
    "bench": {"stoker.protos", "stoker.client", "stoker.archive"},
    "worker": {"stoker.ipc", "stoker.tensors", "stoker.archive.manifest"},
    "handlers": {"stoker.worker.context", "stoker.worker.exceptions", "stoker.worker.handler_utils"},
    "scheduling": {"stoker.config"},
    "simulation": {"stoker.scheduling"},
    "pool": {"stoker.config", "stoker.ipc", "stoker.node.order"},
    "node": {"stoker.ipc", "stoker.archive", "stoker.pool"},
    "ray": {"stoker.ipc", "stoker.node"},
    "frontend": {"stoker.config", "stoker.tensors"},
    "migrate": {"stoker.config", "stoker.archive", "stoker.snapshots", "stoker.workflows.specification"},
    "snapshots": {"stoker.config"},
    "workflows": {"stoker.config", "stoker.tensors", "stoker.archive", "stoker.registry"},
    "registry": {"stoker.config", "stoker.archive", "stoker.scheduling", "stoker.pool", "stoker.snapshots"},
}
"""Besides core and errors, which everyone may import. A package may always import itself."""

MAY_IMPORT_ALL_OF_STOKER = {"server", "server_options", "cli", "__main__"}
MAY_IMPORT_ANYTHING = {"testing"}
SPECIAL = {"stoker.frontend.grpc": {"stoker.protos"}, "stoker.pool.remote": {"stoker.archive"}}

HOMES: dict[str, tuple[str, ...]] = {
    "grpc": ("stoker.frontend.grpc", "stoker.client", "stoker.protos", "stoker.bench"),
    "grpc_health": ("stoker.frontend.grpc", "stoker.client", "stoker.protos"),
    "grpc_reflection": ("stoker.frontend.grpc", "stoker.client", "stoker.protos"),
    "google": ("stoker.frontend.grpc", "stoker.client", "stoker.protos"),
    "ngh2": ("stoker.frontend.grpc",),
    "starlette": ("stoker.frontend.http",),
    "httptools": ("stoker.frontend.http",),
    "python_multipart": ("stoker.frontend.http",),
    "prometheus_client": (),
    "fastapi": (),
    "ray": ("stoker.ray",),
    "torch": ("stoker.handlers", "stoker.worker"),
    "torchvision": ("stoker.handlers", "stoker.worker"),
    "marshal": (),
    "shelve": (),
    "dill": (),
    "cloudpickle": (),
}
"""Where a library may be imported; the empty tuple: nowhere."""

DANGEROUS_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"}
PICKLE_NAMES = {"UnpicklingError"}

PURE_BY_NAME = (
    "stoker.scheduling.core",
    "stoker.ipc.frames",
    "stoker.pool.slot_states",
    "stoker.registry.catalog",
)
SAMPLES = [
    ("stoker.scheduling.scheduler", "stoker.pool.pool", False),
    ("stoker.registry.registry", "stoker.snapshots.keeper", True),
    ("stoker.snapshots.keeper", "stoker.registry.catalog", False),
    ("stoker.frontend.grpc.server", "stoker.protos", True),
    ("stoker.frontend.http.app", "stoker.protos", False),
    ("stoker.frontend.grpc.server", "stoker.telemetry.access", False),
    ("stoker.worker.loading", "stoker.archive.unpack", False),
    ("stoker.worker.loading", "stoker.archive.manifest", True),
    ("stoker.server", "stoker.registry.registry", True),
    ("stoker.pool.remote.ray_placer", "stoker.ray", False),
    ("stoker.server", "stoker.testing", False),
]
"""Module, what it would import, whether it may."""

NOT_PURE = {"asyncio", "time", "os", "socket", "subprocess"}
NEVER_PULL_IN_TORCH = ("ts.context", "ts.handler_utils.utils", "stoker.server", "stoker.cli.torchserve")


def modules() -> dict[str, Path]:
    """Every module of src by dotted name, generated code left out."""
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        if "_generated" in path.parts or path.stem.endswith(("_pb2", "_pb2_grpc")):
            continue
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
STOKER = [name for name in MODULES if name.split(".")[0] == "stoker"]


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_bytes())


def imports_of(module: str, nodes: Iterator[ast.AST] | None = None) -> list[tuple[str, int]]:
    """(dotted target, line). ``from a import b`` counts as a.b where that is a module, else as a."""
    found = []
    for node in nodes if nodes is not None else ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            found += [(target(base, alias.name), node.lineno) for alias in node.names]
    return found


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = MODULES[module].name == "__init__.py"
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, node.module] if node.module else parts)


def target(base: str, name: str) -> str:
    return f"{base}.{name}" if f"{base}.{name}" in MODULES else base


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def allowed(module: str, imported: str) -> bool:
    package = package_of(module)
    if package in MAY_IMPORT_ANYTHING:
        return True
    if inside(imported, "stoker.testing"):
        return False
    if package in MAY_IMPORT_ALL_OF_STOKER or package == "":
        return package != "" or imported in GROUND
    permitted = {f"stoker.{package}"} | MAY_IMPORT[package]
    permitted |= {p for place, more in SPECIAL.items() if inside(module, place) for p in more}
    return imported in GROUND or any(inside(imported, p) for p in permitted | {"stoker.core", "stoker.errors"})


def wrong_arrows(module: str) -> list[str]:
    return [
        f"{module}:{line} imports {imported}"
        for imported, line in imports_of(module)
        if inside(imported, "stoker") and not allowed(module, imported)
    ]


def test_the_architecture_names_every_package_and_no_other() -> None:
    known = set(MAY_IMPORT) | MAY_IMPORT_ALL_OF_STOKER | MAY_IMPORT_ANYTHING | {""}
    assert {package_of(m) for m in STOKER} == known


def test_every_module_that_the_tables_name_exists() -> None:
    """A rule about a module that was renamed or removed would hold forever and check nothing."""
    named = {*GROUND, *PURE_BY_NAME, *NEVER_PULL_IN_TORCH, *SPECIAL}
    named |= {name for table in (MAY_IMPORT, SPECIAL, HOMES) for names in table.values() for name in names}
    named |= {name for rule in SAMPLES for name in rule[:2]}
    assert named - set(MODULES) == set()


@pytest.mark.parametrize("package", sorted({package_of(m) for m in STOKER}))
def test_packages_import_only_what_the_architecture_allows(package: str) -> None:
    wrong = [arrow for module in STOKER if package_of(module) == package for arrow in wrong_arrows(module)]
    assert not wrong, "\n".join(wrong)


def test_the_ground_floor_imports_only_the_standard_library_and_msgspec() -> None:
    """Objects of each request are msgspec's, made several times as fast as named tuples."""
    wrong = [
        f"{module}:{line} imports {imported}"
        for module in STOKER
        if package_of(module) in ("core", "errors")
        for imported, line in imports_of(module)
        if imported.split(".")[0] not in sys.stdlib_module_names | {"stoker", "msgspec"}
    ]
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_in_their_places() -> None:
    wrong = [
        f"{module}:{line} imports {imported}"
        for module in MODULES
        if not inside(module, "stoker.testing")
        for imported, line in imports_of(module)
        if (homes := HOMES.get(imported.split(".")[0])) is not None and not any(inside(module, h) for h in homes)
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_files_have_no_clock_no_loop_and_no_system() -> None:
    """A file is pure when the architecture names it so, or when its own docstring says PURE."""
    pure = [m for m in MODULES if m in PURE_BY_NAME or "PURE." in (ast.get_docstring(tree_of(m)) or "")]
    wrong = [
        f"{module}:{line} imports {imported}"
        for module in pure
        for imported, line in imports_of(module)
        if imported.split(".")[0] in NOT_PURE
    ]
    assert not wrong, "\n".join(wrong)


def pickle_names(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "pickle":
            names |= {alias.name for alias in node.names}
    return names


def test_nothing_is_pickled_or_unpickled_by_our_own_code() -> None:
    """Catching torch's UnpicklingError is all that anyone needs of the module."""
    assert not {(m, name) for m in MODULES for name in pickle_names(m) - PICKLE_NAMES}


def dangerous_calls(module: str) -> list[str]:
    calls = (node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call))
    return [
        f"{module}:{call.lineno} {ast.unparse(call.func)}"
        for call in calls
        if ast.unparse(call.func) in DANGEROUS_CALLS
        or any(k.arg == "shell" and ast.unparse(k.value) == "True" for k in call.keywords)
    ]


def test_no_code_is_made_from_data() -> None:
    assert not [call for module in MODULES for call in dangerous_calls(module)]


def test_stoker_never_imports_its_compatibility_packages() -> None:
    wrong = [
        f"{module}:{line} imports {imported}"
        for module in STOKER
        for imported, line in imports_of(module)
        if imported.split(".")[0] in ("ts", "model_archiver", "workflow_archiver")
    ]
    assert not wrong, "\n".join(wrong)


def module_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements that run when the module is imported, without those under TYPE_CHECKING."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from module_level(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            yield from module_level(node.body + node.orelse + node.finalbody)


def pulled_in(module: str) -> set[str]:
    """Everything imported when ``module`` is: stoker's and ts' own modules are followed."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            waiting += [imported for imported, _ in imports_of(name, module_level(tree_of(name).body))]
            waiting += aliased(name)
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return seen


def aliased(module: str) -> list[str]:
    """A ts module may name its stoker module in a string."""
    if not inside(module, "ts"):
        return []
    strings = (n.value for n in ast.walk(tree_of(module)) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return [s for s in strings if s in MODULES]


def reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += graph[module]
    return seen


def circles(graph: dict[str, set[str]]) -> list[str]:
    return sorted(module for module in graph if module in reachable(module, graph))


def test_no_modules_import_each_other() -> None:
    """Not even for their types."""
    graph = {
        module: {name for name, _ in imports_of(module) if name in MODULES and name != module} for module in MODULES
    }
    assert circles(graph) == []


def test_a_circle_of_imports_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


@pytest.mark.parametrize("module", NEVER_PULL_IN_TORCH)
def test_the_server_and_torchless_modules_never_pull_in_torch(module: str) -> None:
    assert not {name for name in pulled_in(module) if name.split(".")[0] in ("torch", "torchvision", "numpy")}


@pytest.mark.parametrize(("module", "imported", "verdict"), SAMPLES)
def test_the_rules_say_what_they_should(module: str, imported: str, verdict: bool) -> None:
    """A rule that forbids nothing would pass forever."""
    assert allowed(module, imported) is verdict
