"""Checks the Python files of an archive: what they import from TorchServe.

PURE. Parses texts, never runs them.
"""

from __future__ import annotations

from stoker.archive.names import shown
from stoker.migrate import imports, ts_names
from stoker.migrate.archives import Contents
from stoker.migrate.findings import Remarks, changed, unsupported


def check(module: str, contents: Contents) -> Remarks:
    """Checks every Python file. ``module``: that of the handler."""
    for name in sorted(contents.names):
        if not name.endswith(".py"):
            continue
        if name not in contents.texts:
            yield changed("It is too large to be checked.", shown(name))
            continue
        try:
            found = imports.ts_imports(contents.texts[name])
        except ValueError as error:
            judge = unsupported if name.rpartition("/")[2] == f"{module}.py" else changed
            yield judge(f"It is not source code for this Python: {error}.", shown(name))
            continue
        for one in imports.missing(found, has_module=ts_names.has_module, has_name=ts_names.has_name):
            lacks = f"It imports {one}, which stoker's package ts does not have"
            where = f"{shown(name)}, line {one.line}"
            if one.guarded:
                yield changed(f"{lacks}; it catches that error.", where)
            else:
                yield unsupported(f"{lacks}: remove that import.", where)
