"""Pages that scripts write are what the scripts would write now, and what pages show exists."""

import argparse
import importlib.util
import json
import re
import statistics
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```[a-z]*\n(.*?)^```$|`([^`]+)`", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*(?![\w-])")


def load_script(name):
    """A script as a module, with the other scripts in reach, as when it is run."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        spec.loader.exec_module(module)
    return module


def test_the_benchmarks_page_comes_from_its_results():
    script = load_script("write_benchmarks")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()


def test_the_page_on_methods_comes_from_its_results():
    script = load_script("write_methods")
    assert script.PAGE.read_text(encoding="utf-8") == script.page()


def test_the_latency_page_comes_from_its_results():
    script = load_script("write_latency")
    latency = json.loads(script.LATENCY.read_text(encoding="utf-8"))
    fit = json.loads(script.FIT.read_text(encoding="utf-8")) if script.FIT.exists() else None
    assert script.PAGE.read_text(encoding="utf-8") == script.page(latency, fit)


def test_the_cifar10_page_comes_from_its_results():
    script = load_script("write_cifar10")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(script.read())


def test_the_page_on_compression_comes_from_its_results():
    script = load_script("write_derived")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(*script.read())


def test_the_page_on_int8_comes_from_its_results():
    script = load_script("write_int8")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(*script.read())


def test_the_page_on_budgets_holds_what_the_goal_is_worth():
    page = " ".join((ROOT / "docs" / "constraints.md").read_text(encoding="utf-8").split())
    cases = json.loads((ROOT / "docs" / "results" / "goal.json").read_text(encoding="utf-8"))["cases"]
    best, front = ([case for case in cases if case["goal"] == goal] for goal in ("best", "front"))
    assert len(best) == len(front) == 12
    needed, missing = (
        [statistics.mean(case[name] for case in part) for part in (best, front)]
        for name in ("evaluations_to_0.1", "missing_at_50")
    )
    assert f"evaluates {needed[0]:.0f} networks until" in page
    assert f"the search for the front {needed[1]:.0f} (" in page
    assert f"they miss {missing[0]:.2f} and {missing[1]:.2f} points" in page


def test_the_page_on_workers_holds_the_figures_of_its_result():
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    found = json.loads((ROOT / "docs" / "results" / "workers.json").read_text(encoding="utf-8"))
    rows = {"the process of the search": "this process", "two local workers": "local"}
    for words, name in {**rows, "two nodes of a Ray cluster": "ray"}.items():
        times = found["overhead"][name]
        first = f"{times['first batch, s']:.2g} s" if times["first batch, s"] > 0.01 else "at once"
        assert f"| {words} | {times['ms a trial']:.2g} ms | {first} |" in page
    assert f"Of {found['samples']} trials each, none was lost" in " ".join(page.split())
    for search in found["searches"].values():
        losses = search.pop("workers lost")
        expected = {"trials": found["samples"], "lost": 0, "twice": 0, "failed": 0, "as in this process": True}
        assert search == expected
        assert losses


def test_shipped_tables_are_whole_and_validated():
    from hwnas._tables._build import require_coverage
    from hwnas._tables._validate import space_of
    from latency_tables import load_table

    paths = sorted((ROOT / "latency_tables" / "data").glob("*.json"))
    assert paths
    for path in paths:
        table = load_table(path)
        require_coverage(table, space_of(table))
        assert table.validation.networks >= 50
        stored, found = json.loads(path.read_text(encoding="utf-8"))["validation"], table.validation.as_dict()
        assert {name: found[name] for name in stored} == stored  # later versions say more


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
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_navigation():
    def leaves(entry):
        if isinstance(entry, str):
            return [entry]
        parts = entry if isinstance(entry, list) else entry.values()
        return [page for part in parts for page in leaves(part)]

    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    docs = ROOT / "docs"
    assert sorted(leaves(nav)) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))


def test_the_passage_on_the_partition_comes_from_its_result():
    script = load_script("draw_partition")
    page = script.PAGE.read_text(encoding="utf-8")
    result = json.loads(script.RESULT.read_text(encoding="utf-8"))
    assert script.with_passage(page, script.passage(result)) == page
    assert script.with_passage(page, "other") != page


def command_uses(text):
    """Every `hwnas COMMAND ...` in fenced or inline code: the command and its options."""
    for block, inline in CODE.findall(text):
        code = re.sub(r"\\\n", " ", block or inline)
        for found in re.finditer(r"(?:^|[\s(`])hwnas ([a-z]+)\b([^\n|&;)#]*)", code):
            yield found.group(1), OPTION.findall(found.group(2))


def unknown_uses(text, commands):
    """Uses of commands or options that the parser does not have."""
    known = {name: {o for a in parser._actions for o in a.option_strings} for name, parser in commands.items()}
    wrong = [
        f"hwnas {name} {' '.join(sorted(set(options) - known.get(name, set())))}"
        for name, options in command_uses(text)
        if name not in known or not set(options) <= known[name]
    ]
    anywhere = {"--help", "--version", *(option for options in known.values() for option in options)}
    alone = {option for _, inline in CODE.findall(text) for option in re.findall(r"^--[a-z-]+", inline)}
    return wrong + sorted(alone - anywhere)


def test_commands_that_pages_show_exist():
    commands = load_script("_docs_hooks").commands()
    assert unknown_uses("```sh\nhwnas search --data x \\\n  --no-such 3 # --seed\n```\n", commands) == [
        "hwnas search --no-such"
    ]
    assert unknown_uses("say `hwnas seek --data x` and `--bound 4`, not `hwnas runs`", commands) == [
        "hwnas seek --data",
        "--bound",
    ]
    for page in PAGES:
        assert unknown_uses(page.read_text(encoding="utf-8"), commands) == [], page.name


def test_the_command_reference_holds_every_option_with_its_help():
    script = load_script("_docs_hooks")
    page = argparse.Namespace(file=argparse.Namespace(src_uri=script.COMMANDS))
    text = script.on_page_markdown("# Commands\n", page=page)
    assert text.startswith("# Commands\n")
    for name, parser in script.commands().items():
        section = text.split(f"\n## hwnas {name}\n")[1].split("\n## ")[0]
        for option in OPTION.findall(parser.format_usage()):
            assert option == "-h" or option in section, (name, option)
    assert "| `--samples SAMPLES` | architectures to evaluate (default 200) |" in text
    assert "| `--debug` |" in text
    assert "| `RUN` | run directories with the same objectives |" in text


def test_the_changelog_page_is_the_changelog():
    script = load_script("_docs_hooks")
    page = argparse.Namespace(file=argparse.Namespace(src_uri=script.CHANGELOG))
    assert script.on_page_markdown("x", page=page) == (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    page.file.src_uri = "index.md"
    assert script.on_page_markdown("x", page=page) == "x"


def test_pages_that_load_from_elsewhere_are_warned_of(caplog):
    script = load_script("_docs_hooks")
    page = argparse.Namespace(file=argparse.Namespace(src_uri="index.md"))
    here = '<script src="a.js"></script><link rel="canonical" href="https://x/"><a href="https://y/">y</a><img src="b">'
    assert script.on_post_page(here, page=page) == here
    assert caplog.messages == []
    away = '<link rel="stylesheet" href="https://x/s.css"><script src="//y/z.js"></script><img src="http://z/p.png">'
    script.on_post_page(away, page=page)
    assert caplog.messages == [
        f"index.md loads {address}; pages must not need a network"
        for address in ("https://x/s.css", "//y/z.js", "http://z/p.png")
    ]


def test_names_that_the_reference_lacks_are_warned_of(caplog):
    import search

    script = load_script("_docs_hooks")
    page = argparse.Namespace(file=argparse.Namespace(src_uri="reference/search.md"))
    whole = " ".join(f'<h2 id="search.{name}">' for name in search.__all__)
    script.on_post_page(whole, page=page)
    assert caplog.messages == []
    script.on_post_page(whole.replace("search.Study", "x"), page=page)
    assert caplog.messages == ["reference/search.md lacks search.Study; check the options below its :::"]


def test_the_reference_has_every_package():
    packages = {"hwnas", "search", "profilers", "latency_tables"}
    assert {page.stem for page in (ROOT / "docs" / "reference").glob("*.md")} - {"commands"} == packages
    for package in packages:
        assert f"\n::: {package}\n" in (ROOT / "docs" / "reference" / f"{package}.md").read_text(encoding="utf-8")
