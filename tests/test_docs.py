"""Pages that scripts write are what the scripts would write now."""

import importlib.util
import json
from pathlib import Path

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


def test_the_page_on_workers_holds_the_figures_of_its_result():
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    found = json.loads((ROOT / "docs" / "results" / "workers.json").read_text(encoding="utf-8"))
    rows = {"in the search's process": "this process", "by two local workers": "local"}
    for words, name in {**rows, "by two nodes of a Ray cluster": "ray"}.items():
        times = found["overhead"][name]
        first = f"{times['first batch, s']:.2g} s" if times["first batch, s"] > 0.01 else "at once"
        assert f"| {words} | {times['ms a trial']:.2g} ms | {first} |" in page
    assert f"Of {found['samples']} trials each, none was lost" in page
    for search in found["searches"].values():
        losses = search.pop("workers lost")
        expected = {"trials": found["samples"], "lost": 0, "twice": 0, "failed": 0, "as in this process": True}
        assert search == expected
        assert losses


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


def test_links_between_pages_lead_somewhere():
    import re

    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
