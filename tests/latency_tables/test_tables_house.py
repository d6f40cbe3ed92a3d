"""How the package is built: no circles, nothing imported inside functions to hide one, no operator by name."""

import ast
from pathlib import Path

import latency_tables
from profilers import operator_kinds

ROOT = Path(latency_tables.__file__).parent
TREES = {path.stem: ast.parse(path.read_text()) for path in ROOT.glob("*.py") if path.stem != "__init__"}


def imported(node):
    """Modules of the package that an import statement names."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("latency_tables."):
        return {node.module.split(".")[1]}
    return set()


def test_no_module_imports_itself_through_others():
    waiting = {name: set().union(*map(imported, ast.walk(tree))) for name, tree in TREES.items()}
    while ready := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        for name in ready:
            del waiting[name]
    assert waiting == {}


def test_modules_of_the_package_are_imported_at_their_heads():
    for name, tree in TREES.items():
        heads = {id(node) for node in tree.body}
        hidden = [node.lineno for node in ast.walk(tree) if imported(node) and id(node) not in heads]
        assert hidden == [], f"{name} hides imports in lines {hidden}"


def test_no_operator_is_known_by_name():
    words = {
        (name, node.value)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    kinds = {(name, word) for name, word in words if word in operator_kinds()}
    assert kinds == {("_format", "identity")}  # a field of the file, no op
