"""Pages that scripts write are what the scripts would write now."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmarks_page_comes_from_its_results():
    script = load_script("write_benchmarks")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()


def test_the_latency_page_comes_from_its_results():
    script = load_script("write_latency")
    latency = json.loads(script.LATENCY.read_text(encoding="utf-8"))
    fit = json.loads(script.FIT.read_text(encoding="utf-8")) if script.FIT.exists() else None
    assert script.PAGE.read_text(encoding="utf-8") == script.page(latency, fit)


def test_shipped_tables_are_whole_and_validated():
    from hwnas._tables import require_coverage
    from hwnas._validate import space_of
    from latency_tables import load_table

    paths = sorted((ROOT / "latency_tables" / "data").glob("*.json"))
    assert paths
    for path in paths:
        table = load_table(path)
        require_coverage(table, space_of(table))
        assert table.validation.networks >= 50
        assert json.loads(path.read_text(encoding="utf-8"))["validation"] == table.validation.as_dict()


def test_the_python_page_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    script = (ROOT / "scripts" / "example_custom_space.py").read_text(encoding="utf-8")
    assert f"```python\n{script}```\n" in page


def test_the_python_pages_code_for_optuna_runs():
    pytest.importorskip("optuna")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = [part for part in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "LaMOOSampler" in part]
    names: dict[str, object] = {}
    exec(code.replace("n_trials=60", "n_trials=12"), names)
    assert len(names["study"].trials) == 12


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
