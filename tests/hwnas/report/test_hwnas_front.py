"""The interactive front: its data are those of ``pareto.json``, names are only text, a browser lets it answer."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from browser import ask
from reports import SPACE, make_report, measured

from hwnas import SearchSettings
from hwnas._report._front import MOST_TRIALS, front_data, front_script, front_section
from hwnas._report._html import asset, page
from hwnas._runs._delivered import latency_of
from hwnas._runs._run import Run
from hwnas.tasks import DEFAULT_METRIC, Metric
from search import Trial

EVIL = "</script><img src=x onerror=document.title='bad'><!--\u2028\u202e'\"&"
SHOWN = re.compile(r"<script type=application/json id=front-data>(.*?)</script>", re.DOTALL)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A run with measured networks and a budget that half of them meet; its name wants quoting."""
    path = tmp_path_factory.mktemp("front") / "my run"
    return make_report(path, 60, budgets={"latency_ms": 0.1}, deliver=measured)


def text_of(reported):
    return (reported[0].path / "report.html").read_text()


def shown(text):
    return json.loads(SHOWN.search(text).group(1))


class Elements(HTMLParser):
    """All elements with their attributes, and the texts of styles and scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append((self.elements[-1][0] if self.elements else "", data))


def test_the_front_shows_what_pareto_holds(reported):
    run, study = reported
    data, entries = shown(text_of(reported)), run.pareto()
    assert len(entries) >= 4
    assert [n["id"] for n in data["networks"]] == [e["id"] for e in entries]
    for network, entry in zip(data["networks"], entries, strict=True):
        assert network["value"] == entry["validation_accuracy"]
        assert network["arch"] == entry["arch"]
        assert network["costs"]["latency_ms"] == latency_of(entry) == entry["latency_ms"]["at_table_speed"]["median"]
        assert [network["costs"][key] for key in ("macs", "params", "peak_memory_bytes")] == [
            entry["macs"],
            entry["params"],
            entry["peak_memory_bytes"],
        ]
        assert (network["low"], network["high"]) == (entry["latency_ms"]["low"], entry["latency_ms"]["high"])
        assert network["half_width"] == entry["latency_ms"]["measured_half_width"]
        assert network["error"] == pytest.approx(DEFAULT_METRIC.standard_error(network["value"], 300))
        assert bool(network["over"]) != entry["within_budget"]
        facts = dict(network["facts"])
        assert facts["on the test part"].startswith(DEFAULT_METRIC.format(entry["accuracy"]))
        assert ("over the budget" in facts) == (not entry["within_budget"])
        command = f"hwnas export '{run.path}' --pick {entry['id']}"
        assert network["export"] == command + " --allow-over-budget" * (not entry["within_budget"])
    assert {bool(n["over"]) for n in data["networks"]} == {True, False}
    assert [axis["key"] for axis in data["axes"]] == ["latency_ms", "macs", "params", "peak_memory_bytes", "rom_bytes"]
    assert [axis["budget"] for axis in data["axes"]] == [0.1, None, None, None, None]
    assert data["axes"][0]["name"] == "measured median latency"
    assert data["left_out"] == 0
    assert {t["number"] for t in data["trials"]} == {t.number for t in study.trials} - {e["trial"] for e in entries}
    values = {t.number: t.values["latency_ms"] for t in study.trials}
    assert all(t["costs"]["latency_ms"] == values[t["number"]] for t in data["trials"])


@pytest.mark.parametrize(("statistic", "budget"), [("live", 4096.0), ("arena", None)])
def test_a_budget_of_the_arena_is_no_budget_of_live_memory(tmp_path, statistic, budget):
    run, study = make_report(
        tmp_path / "run", 30, budgets={"peak_memory_bytes": 4096.0}, deliver=measured, memory_statistic=statistic
    )
    data = front_data(run, run.pareto(), study.trials, SPACE, DEFAULT_METRIC)
    (axis,) = [axis for axis in data["axes"] if axis["key"] == "peak_memory_bytes"]
    assert axis["budget"] == budget


def test_a_page_names_nothing_elsewhere_and_runs_one_script(reported):
    text = text_of(reported)
    found = Elements(text)
    for tag, attributes in found.elements:
        for name, value in attributes.items():
            assert "//" not in re.sub(r"^data:image/png;base64,.*|'sha256-.*", "", value or ""), (tag, name)
            assert not name.startswith("on")
            assert name != "style"
    assert {tag for tag, _ in found.elements} & {"iframe", "object", "embed", "form", "base"} == set()
    scripts = [attributes for tag, attributes in found.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "front-data"}, {}]
    policy = next(a["content"] for tag, a in found.elements if "http-equiv" in a)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for rule, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        (content,) = re.findall(f"{tag}(.*?)</{tag[1:]}", text, re.DOTALL)
        assert rules.pop(rule) == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert rules.pop("img-src") == "data:"
    assert set(rules) == {"default-src", "connect-src", "base-uri", "form-action"}
    assert set(rules.values()) == {"'none'"}


def test_without_script_there_is_the_picture(reported):
    text = text_of(reported)
    figure = re.search("<figure class='front pictured' id=front>(.*?)</figure>", text, re.DOTALL).group(1)
    assert figure.startswith("<div class=picture><img alt='Accuracy against cost: all trials, the front, ")
    assert "<div class=live></div>" in figure
    assert ".live{display:none}" in text
    assert "<figure class='front' id=front><div class=picture></div>" in front_section({}, "")


def test_a_script_that_could_end_its_element_is_refused(tmp_path, monkeypatch):
    assert "<!--" not in front_script()
    (tmp_path / "a.js").write_text("'</SCRIPT>'")
    monkeypatch.setattr("hwnas._report._html.__file__", str(tmp_path / "_html.py"))
    with pytest.raises(ValueError, match=r"a\.js cannot stand in a page"):
        asset("a.js")


def hostile_page(path):
    """A page of one network whose every text is hostile, as a damaged or foreign run may hold it."""
    entry = {"id": EVIL, "arch": EVIL, "trial": 0, "onnx": EVIL, "dominated_by": EVIL, "macs": 1, "params": 1}
    entry |= {"metric": {"name": EVIL, "unit": "<b>"}, EVIL: 0.5, f"validation_{EVIL}": 0.5, "peak_memory_bytes": 1}
    entry["latency_ms"] = {"predicted": 1.0, "low": 0.9, "high": 1.1, "measured": 1.05, "statistic": EVIL}
    run = Run(path / EVIL.replace("/", "_"), SearchSettings(budgets={"latency_ms": 1.0}), {})
    metric = Metric(EVIL, unit="<b>")
    trial = Trial(1, (0,) * len(SPACE.choices), {EVIL: 0.4, "latency_ms": 2.0})
    data = front_data(run, [entry], [trial], SPACE, metric)
    return page(EVIL, front_section(data, ""), front_script())


def test_hostile_names_are_text(tmp_path):
    text = hostile_page(tmp_path)
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert "\u2028" not in text
    data = shown(text)
    assert data["networks"][0]["arch"] == EVIL.replace("\u2028", "\\u2028").replace("\u202e", "\\u202e")
    assert len(data["trials"]) == 1
    asked = ask(text, tmp_path, "return [doc.title, doc.querySelectorAll('img, b b').length, doc.body.textContent];")
    assert asked[0].startswith("hwnas: </script>")
    assert asked[1] == 0
    assert asked[2].count("<img src=x onerror=") > 5


def test_a_page_of_two_thousand_trials_is_small_and_says_what_it_leaves_out(tmp_path):
    run, study = make_report(tmp_path / "run", 2000, batch=200, deliver=measured)
    place = run.path / "report.html"
    assert place.stat().st_size < 1_000_000
    data = shown(place.read_text())
    assert len(data["trials"]) == MOST_TRIALS
    assert data["left_out"] == len(study.trials) - len(data["networks"]) - MOST_TRIALS
    assert len({trial["number"] for trial in data["trials"]}) == MOST_TRIALS
    numbers = sorted(trial["number"] for trial in data["trials"])
    assert numbers[-1] > 1900
    fastest = min((t for t in study.trials), key=lambda trial: trial.values["latency_ms"]).number
    assert fastest in numbers or f"t{fastest:04d}" in {network["id"] for network in data["networks"]}
    script = "return doc.querySelector('.legend').textContent;"
    assert f"{MOST_TRIALS} trials that were not delivered" in (legend := ask(place.read_text(), tmp_path, script))
    assert f"; {data['left_out']} more are left out. " in legend


def test_trials_of_another_metric_are_not_drawn(tmp_path):
    def scored(entries):
        measured(entries)
        for entry in entries:
            entry["final_validation_accuracy"] = entry.pop("validation_accuracy")
            entry["validation_accuracy"] = None

    run, study = make_report(tmp_path / "run", deliver=scored)
    data = front_data(run, run.pareto(), study.trials, SPACE, Metric.of_score("synflow"))
    assert (data["trials"], data["left_out"], data["other_metric"]) == ([], 0, "synflow (a score)")
    assert data["networks"][0]["value"] == run.pareto()[0]["final_validation_accuracy"]


ANSWERS = """
  const says = () => doc.getElementById('front-says').textContent;
  const title = () => doc.querySelector('#front-details h3').textContent;
  const svg = doc.querySelector('svg.plot'), line = doc.querySelector('.budget');
  const points = [...doc.querySelectorAll('.point')];
  const middle = (e) => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; };
  const pointer = (type, [x, y], e) => e.dispatchEvent(
    new page.PointerEvent(type, { clientX: x, clientY: y, bubbles: true, cancelable: true, pointerId: 1 }));
  const key = (name) => line.dispatchEvent(
    new page.KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
  const now = () => Number(line.getAttribute('aria-valuenow'));
  const answers = { first: says(), line: now(), live: doc.querySelector('.front').classList.contains('on') };
  answers.shown = doc.querySelector('.picture').getBoundingClientRect().height;
  pointer('pointermove', middle(points[0].querySelector('.mark')), svg);
  answers.hovered = title();
  answers.details = doc.getElementById('front-details').textContent;
  points[1].focus();
  answers.focused = [title(), doc.activeElement.getAttribute('aria-label')];
  pointer('pointerdown', middle(points[2].querySelector('.mark')), svg);
  answers.tapped = title();
  line.setPointerCapture = () => {};
  const [x, y] = middle(line.querySelector('.grip'));
  pointer('pointerdown', [x, y], line);
  pointer('pointermove', [x - 40, y], line);
  pointer('pointerup', [x - 40, y], line);
  answers.dragged = now();
  key('ArrowRight');
  answers.stepped = now();
  key('Home');
  answers.least = says();
  answers.faded = doc.querySelectorAll('.beyond').length;
  key('End');
  answers.most = says();
  const axis = doc.getElementById('front-axis');
  axis.value = '1';
  axis.dispatchEvent(new page.Event('change'));
  answers.macs = [line.getAttribute('aria-label'), doc.querySelector('.budget').getAttribute('aria-label')];
  answers.names = [...doc.querySelectorAll('[role=button],[role=slider]')].map((e) => e.getAttribute('aria-label'));
  answers.loaded = page.performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length;
  return answers;
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_answers(reported, tmp_path, width):
    run, _ = reported
    entries = run.pareto()
    inside = [e for e in entries if e["within_budget"]]
    best, top = inside[-1], entries[-1]
    got = ask(text_of(reported), tmp_path, ANSWERS, width)
    assert got["live"]
    assert got["shown"] == 0
    assert got["line"] == 0.1
    assert got["first"].startswith(f"{best['id']} is the best delivered network with measured median latency of at ")
    assert f"hwnas export '{run.path}' --pick {best['id']} Copy" in got["first"]
    assert got["hovered"] == entries[0]["id"]
    for text in (entries[0]["arch"], f"--pick {entries[0]['id']}", "parameters", "measured latency (median)", "±"):
        assert text in got["details"]
    assert got["focused"][0] == entries[1]["id"]
    assert got["focused"][1].startswith(f"{entries[1]['id']}: validation accuracy")
    assert got["tapped"] == entries[2]["id"]
    assert got["dragged"] < got["stepped"] < 0.1
    assert got["least"].startswith("No delivered network has measured median latency of at most ")
    assert f"the nearest is {entries[0]['id']}, " in got["least"]
    assert got["faded"] == len(entries)
    assert got["most"].startswith(top["id"])
    assert "--allow-over-budget" in got["most"]
    assert got["macs"] == ["Budget for measured median latency", "Budget for MACs"]
    assert len(got["names"]) == len(entries) + 1
    assert all(got["names"])
    assert got["loaded"] == 0


def test_over_another_budget_is_not_the_best(reported, tmp_path):
    """On the axis of MACs, a network over the latency budget is never named the best."""
    script = """
      const axis = doc.getElementById('front-axis');
      axis.value = '1';
      axis.dispatchEvent(new page.Event('change'));
      return doc.getElementById('front-says').textContent;
    """
    best = [entry for entry in reported[0].pareto() if entry["within_budget"]][-1]
    says = ask(text_of(reported), tmp_path, script)
    assert says.startswith(
        f"{best['id']} is the best delivered network that keeps the run's other budgets with MACs of "
    )
