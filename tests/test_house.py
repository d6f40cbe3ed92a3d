"""The rules of the house: import directions, import budget, what a wheel holds, shadowed packages."""

import ast
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hwnas.spaces import make_space

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "latency_tables": set(),
    "search": set(),
    "profilers": {"latency_tables"},
    "hwnas": {"latency_tables", "profilers", "search"},
}
HEAVY = {"torch", "botorch", "gpytorch", "sklearn", "onnx", "onnxruntime", "pymoo", "matplotlib", "scipy", "optuna"}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_in_one_direction(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        ours = set(imports(ast.parse(file.read_text(encoding="utf-8")))) & set(ALLOWED)
        assert ours <= ALLOWED[package] | {package}, file


ROOMS = [
    "_version",
    "_errors",
    "_common",
    "data",
    "spaces",
    "tasks",
    "_devices",
    "_costs",
    "training",
    "oneshot",
    "evaluators",
    "_tables",
    "_runs",
    "_deploy",
    "_trackers",
    "_report",
    "_explain",
    "_workers",
    "_pipeline",
    "_api",
    "_cli",
]
"""The rooms of `hwnas` from the ground up: each imports only from those before it."""
FACES = {"hwnas", "hwnas.__main__", "hwnas.optuna", "hwnas._optuna_constraints", "hwnas.testing"}
FACES |= {"hwnas.costs", "hwnas.run_directories", "hwnas.tables", "hwnas.workers"}
"""What stands above all rooms."""


def modules():
    """Every module of ours by its dotted name."""
    files = [file for package in ALLOWED for file in (ROOT / package).rglob("*.py")]
    named = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


MODULES = modules()


def imported_modules(name):
    """Our modules that a module imports, in functions and for type checks too."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


IMPORTS = {name: set(imported_modules(name)) - {name} for name in MODULES}


def is_face(name):
    """Whether a module stands above all rooms; what stands inside a face does, too."""
    return name in FACES or name.rpartition(".")[0] in FACES - {"hwnas"}


def room_of(name):
    """The place of a module of hwnas among the rooms."""
    return len(ROOMS) if is_face(name) else ROOMS.index(name.split(".")[1])


def upward(imports):
    """Imports within hwnas that lead to a room above, as ``(module, what it imports)``."""
    ours = {name: targets for name, targets in imports.items() if name.split(".")[0] == "hwnas"}
    return sorted(
        (name, target)
        for name, targets in ours.items()
        for target in targets
        if target.split(".")[0] == "hwnas" and room_of(target) > room_of(name)
    )


def circles(imports):
    """Groups of modules that import each other; a package's own modules may import its ``__init__`` never."""
    order, low, stack, found = {}, {}, [], []

    def visit(name):
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in sorted(imports.get(name, ())):
            if target not in order:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(imports):
        if name not in order:
            visit(name)
    return found


def test_every_module_of_hwnas_stands_in_a_room():
    flat = {name for name in MODULES if name.split(".")[0] == "hwnas" and not is_face(name)}
    assert {name.split(".")[1] for name in flat} <= set(ROOMS)


def test_rooms_import_only_from_rooms_below():
    assert upward(IMPORTS) == []


def test_no_modules_import_each_other():
    assert circles(IMPORTS) == []


def test_an_upward_import_and_a_circle_are_noticed():
    planted = {"hwnas.data._load": {"hwnas._runs._run"}, "hwnas._runs._run": {"hwnas._errors"}}
    assert upward(planted) == [("hwnas.data._load", "hwnas._runs._run")]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def missing_names(text):
    """Names that a module imports from ours and that are not there, as ``module.name``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in ALLOWED:
            module = importlib.import_module(node.module)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name not in MODULES and not hasattr(module, alias.name):
                    yield name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of libraries, when they are loaded
@pytest.mark.parametrize("folder", [*ALLOWED, "tests", "scripts"])
def test_every_imported_name_exists(folder):
    """Public packages load their names lazily, so a type checker does not notice one that is gone."""
    files = sorted((ROOT / folder).rglob("*.py"))
    missing = {name for file in files for name in missing_names(file.read_text(encoding="utf-8"))}
    assert missing == set()


def test_a_missing_name_is_noticed():
    assert list(missing_names("from profilers import Backend, Sampler")) == ["profilers.Sampler"]


def private_across(imports):
    """Imports of another package's private modules."""
    return sorted(
        (name, target)
        for name, targets in imports.items()
        for target in targets
        if target.split(".")[0] != name.split(".")[0] and any(part.startswith("_") for part in target.split("."))
    )


def test_no_package_imports_private_modules_of_another():
    assert private_across(IMPORTS) == []
    assert private_across({"hwnas._x": {"profilers._cores"}}) == [("hwnas._x", "profilers._cores")]


def private_names(text):
    """What a script imports from private modules of ours; names with two underscores, like ``__main__``, are public."""

    def private(name):
        parts = name.split(".")
        return parts[0] in ALLOWED and any(part.startswith("_") and not part.startswith("__") for part in parts)

    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if private(name)}


def test_scripts_use_public_names_alone():
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    assert scripts
    used = set().union(*(private_names(file.read_text(encoding="utf-8")) for file in scripts))
    assert used == set()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import hwnas._cli", {"hwnas._cli"}),
        ("from hwnas import _errors", {"hwnas._errors"}),
        ("from profilers._plan import x, y", {"profilers._plan.x", "profilers._plan.y"}),
        ("from hwnas.__main__ import main", set()),
        ("from _page import line", set()),
    ],
)
def test_private_names_in_scripts_are_noticed(text, names):
    assert private_names(text) == names


def run_python(code, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def require_success(code, cwd):
    """Run code that uses this checkout; it must end without an error."""
    result = run_python(code, cwd, PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stderr


WRITERS = {
    "latency_tables/_files.py",  # the one writer
    "hwnas/_cli/_streams.py",  # standard streams, no files
    "profilers/_remote/_bootstrap.py",  # runs on devices before anything of ours is there
    "scripts/check_gpu.py",  # a log that its steps write themselves
    "scripts/fuzz_onnx.py",  # damaged files in a temporary folder, and a link out of it
    "hwnas/_deploy/predict.py",  # copied beside delivered networks, runs where nothing of ours is
    "hwnas/_tables/_draw_runner.py",  # copied beside drawn networks, runs where nothing of ours is
}
WRITE_CALLS = {
    "write_text",
    "write_bytes",
    "touch",
    "symlink_to",
    "hardlink_to",
    "mkstemp",
    "mknod",
    "mkfifo",
    "tofile",
}
SAVE_CALLS = {"save", "savez", "savez_compressed", "savetxt", "savefig", "save_model", "dump"}
MOVE_CALLS = {"rename", "replace", "copy", "copy2", "copyfile", "copytree", "move", "link", "symlink"}


def writes(call):
    """Whether a call writes a file by itself."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) else ""
    if name in WRITE_CALLS:
        return True
    if name == "open":
        if owner == "os":
            return any(
                isinstance(part, ast.Attribute) and part.attr in ("O_CREAT", "O_RDWR") for part in ast.walk(call)
            )
        place = 1 if isinstance(call.func, ast.Name) or owner in ("io", "gzip", "zipfile") else 0
        modes = [*call.args[place : place + 1], *(word.value for word in call.keywords if word.arg == "mode")]
        texts = [str(mode.value) for mode in modes if isinstance(mode, ast.Constant)]
        return any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts)
    if name in SAVE_CALLS and owner in ("torch", "np", "numpy", "onnx", "pickle", "json", "figure", "plt", "image"):
        return not any(isinstance(arg, ast.Name) and arg.id == "buffer" for arg in call.args)
    if name in MOVE_CALLS and owner in ("os", "shutil"):
        return True
    return name in ("rename", "replace") and len(call.args) == 1 and not call.keywords and owner != "dataclasses"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open('x')", False),
        ("open('x', 'wb')", True),
        ("path.open('a')", True),
        ("path.open(mode='r+')", True),
        ("path.open('rb')", False),
        ("Image.open(path)", False),
        ("os.open(path, os.O_RDONLY)", False),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", True),
        ("torch.save(x, path)", True),
        ("torch.save(x, buffer)", False),
        ("figure.savefig(buffer, format='png')", False),
        ("figure.savefig('x.png')", True),
        ("path.replace(target)", True),
        ("text.replace('a', 'b')", False),
        ("shutil.copy(a, b)", True),
    ],
)
def test_writes_are_recognised(text, found):
    assert writes(ast.parse(text).body[0].value) is found


def test_nothing_is_written_but_through_the_one_writer():
    files = [file for package in (*ALLOWED, "scripts") for file in sorted((ROOT / package).rglob("*.py"))]
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        if str(file.relative_to(ROOT)) not in WRITERS
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    "package", ["hwnas", "latency_tables", "profilers", "search", "hwnas.spaces", "hwnas.testing", "hwnas._cli"]
)
def test_importing_a_package_loads_no_heavy_library(package):
    code = f"import sys, {package}; print(sorted({HEAVY!r} & set(sys.modules)))"
    result = run_python(code, ROOT)
    assert result.stdout.strip() == "[]", result.stderr


def test_help_loads_hardly_anything():
    code = (
        "import sys, contextlib, io\n"
        "from hwnas._cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['--help'])\n"
        f"print(sorted(({HEAVY!r} | {{'numpy'}}) & set(sys.modules)))"
    )
    result = run_python(code, ROOT)
    assert result.stdout.strip() == "[]", result.stderr


def test_a_search_on_a_benchmark_table_needs_no_torch(tmp_path):
    space = make_space("nasbench201")
    texts = [space.format(arch) for arch in dict.fromkeys(space.sample(60, np.random.default_rng(0)))]
    rows = [f"{text},{0.5 + place / 200},{2 + place % 7}" for place, text in enumerate(texts)]
    (tmp_path / "cells.csv").write_text("\n".join(["arch,acc,ms", *rows]) + "\n")
    code = (
        "import sys\n"
        "from hwnas._cli import main\n"
        "options = ['--space', 'nasbench201', '--evaluator', 'table:cells.csv', '--accuracy-column', 'acc']\n"
        "options += ['--latency-column', 'ms', '--samples', '12', '--out', 'run']\n"
        "assert main(['search', *options]) == 0\n"
        "assert not {'torch', 'botorch', 'pymoo'} & set(sys.modules)"
    )
    require_success(code, tmp_path)


def test_pricing_and_profiling_on_a_cpu_need_no_torch(tmp_path):
    space = str(ROOT / "scripts" / "example_space.json")
    code = (
        "import sys\n"
        "from hwnas._cli import main\n"
        f"arguments = ['--space', {space!r}, '--image-size', '8', '--networks', '2', '-o', 'table.json']\n"
        "assert main(['profile', *arguments]) == 0\n"
        "arch = 'width=0.5,depth=1,kernel1=1,kernel2=1,kernel3=1,last=conv'\n"
        "assert main(['predict', 'table.json', arch]) == 0\n"
        "assert not {'torch', 'botorch', 'sklearn', 'pymoo'} & set(sys.modules)"
    )
    require_success(code, tmp_path)


def test_a_wheel_holds_the_four_packages_and_nothing_else(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(ALLOWED)
    assert all(f"{package}/py.typed" in names for package in ALLOWED)
    assert {f"hwnas/_report/{name}" for name in ("page.css", "plot.js", "front.js")} <= set(names)
    assert {f"hwnas/_explain/{name}" for name in ("explain.css", "explain.js")} <= set(names)
    tracked = {str(p.relative_to(ROOT)) for package in ALLOWED for p in (ROOT / package).rglob("*.py")}
    assert tracked == {name for name in names if name.endswith(".py")}


@pytest.mark.parametrize("name", ["search", "profilers", "latency_tables"])
def test_a_users_file_that_hides_a_package_gives_one_clear_line(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("print('mine')\n")
    (tmp_path / "script.py").write_text("import hwnas\n")
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"ImportError: hwnas needs its own package {name!r}, but finds {tmp_path / name}.py; rename or move that file"
    )
    assert "mine" not in result.stdout


def test_without_a_shadow_the_import_works(tmp_path):
    result = run_python("import hwnas; print(hwnas.__version__)", tmp_path, PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stderr
