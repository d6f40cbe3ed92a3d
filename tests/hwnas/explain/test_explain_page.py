"""The page of an explanation."""

import re
from dataclasses import replace

import pytest
from browser import ask

from hwnas._errors import HwnasError
from hwnas._explain._page import explanation_page, write_html
from hwnas._explain._pictures import Scale, area
from hwnas._explain._scatter import scatter
from hwnas._explain._texts import amount, blocks_of, bytes_text, ms_text, summary
from profilers import Change, ExplainedNode, Explanation


def node(name, ms, block, macs=10**6, reasons=()):
    shape = (1, 8, 16, 16)
    sizes = {"macs": macs, "read_bytes": 9000, "written_bytes": 8192, "working_set_bytes": 17192}
    return ExplainedNode(
        node=name,
        op="Conv+Relu",
        block=block,
        fused=(name,),
        inputs=(shape,),
        output=shape,
        ms=ms,
        low_ms=0.9 * ms,
        high_ms=1.1 * ms,
        reasons=reasons,
        **sizes,
    )


ROWS = (
    node("conv<1>", 0.2, "stem", reasons=("unaligned",)),
    node("conv2", 0.6, "body"),
    node("relu", 0.1, "body", 0, ("memory", "novel")),
    node("nothing", 0.0, "body", 0),
)
EXPLANATION = Explanation(
    model="my<model>.onnx",
    sha256="ab" * 32,
    identity={"cpu": "A CPU", "threads": 2, "runtime": "onnxruntime", "runtime_version": "1.0"},
    total_ms=1.0,
    total_low_ms=0.98,
    total_high_ms=1.02,
    rows=ROWS,
    unexplained_ms=0.1,
    noise_floor=0.004,
    best_gmacs_per_s=20.0,
    live_bytes=(16384, 20000, 16384, 8192),
    changes=(Change("int8", "int8 weights", (), 0.5, 0.5, 0.45, 0.55),),
    rounds=30,
    notes=("a note",),
)


def test_the_page_says_what_the_explanation_says():
    page = explanation_page(EXPLANATION)
    text = re.sub(r"<[^>]+>", " ", page)
    for part in (
        "One inference takes 1 ms (90 % interval 0.98 ms to 1.02 ms; 10th percentile of 30 rounds)",
        "on A CPU with 2 threads (onnxruntime 1.0)",
        "The 4 rows below add up to 0.9 ms, 90.0 % of the total; 0.1 ms are in no row",
        "noise floor",
        "its channels are not a multiple of the runtime",
        "int8 weights",
        "faster",
        "19.5 KiB at most",
        "Time of each block",
        "a note",
    ):
        assert part in text, part
    assert "<model>" not in page
    assert "conv<1>" not in page
    assert page.count("<li ") == 2 + 4


def test_the_page_loads_nothing_and_needs_no_style_attributes():
    page = explanation_page(EXPLANATION)
    assert "default-src 'none'" in page
    assert " style=" not in page
    assert not re.search(r"(src|href)='?https?:", page)


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": ()},
        {"rows": ROWS[2:], "live_bytes": ()},
        {"best_gmacs_per_s": 0.0},
        {"live_bytes": (0, 0, 0, 0)},
        {"changes": (), "notes": ()},
    ],
)
def test_pages_of_odd_explanations_can_be_written(changed, tmp_path):
    write_html(replace(EXPLANATION, **changed), tmp_path / "x.html")
    assert "nan" not in (tmp_path / "x.html").read_text().lower().replace("nanum", "")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(HwnasError, match="choose another place"):
        write_html(EXPLANATION, tmp_path / "no" / "x.html")


def test_blocks_add_up():
    blocks = blocks_of(EXPLANATION.rows)
    assert [(block.name, block.nodes) for block in blocks] == [("stem", 1), ("body", 3)]
    assert blocks[1].ms == pytest.approx(0.7)
    assert blocks[1].high_ms - blocks[1].ms == pytest.approx((0.06**2 + 0.01**2) ** 0.5)
    assert "three slowest nodes take 90 %" in summary(EXPLANATION)[-1]


def test_names_of_close_points_do_not_cover_each_other():
    picture = scatter(
        [(1.0, 1.0, "a: 1", False), (1.0, 1.01, "b: 2", False), (2.0, 5.0, "c", False)],
        "x",
        "y",
        named={0: "a", 1: "b"},
    )
    heights = [float(y) for y in re.findall(r"<text class=name x=[\d.]+ y=([\d.-]+)", picture)]
    assert len(heights) == 2
    assert heights[0] - heights[1] >= 20


def test_scales_and_numbers():
    assert Scale(1, 100, 0, 10, log=True).at(10) == pytest.approx(5)
    assert Scale(0, 10).ticks() == [0, 2, 4, 6, 8, 10]
    assert Scale(1, 100, log=True).ticks(8) == [1, 2, 5, 10, 20, 50, 100]
    assert Scale(80, 180, log=True).ticks(6) == [80, 90, 100]
    assert [amount(v) for v in (5, 1234, 999_600, 2.5e9)] == ["5", "1.23 k", "1 M", "2.5 G"]
    assert [bytes_text(v) for v in (5, 2**10, 1.5 * 2**20, 1023 * 2**20)] == ["5 B", "1 KiB", "1.5 MiB", "1023 MiB"]
    assert [ms_text(v) for v in (0.0123, 4.2, -0.05)] == ["12.3 us", "4.2 ms", "-50 us"]
    assert "<polygon" in area([1.0, 3.0], ["a", "b"], "MiB", "memory")


def test_the_script_sorts_by_time_and_back(tmp_path):
    order = "[...doc.querySelectorAll('ol.times')].at(-1).querySelectorAll('.what')"
    read = f"[...{order}].map((e) => e.firstChild.textContent)"
    script = (
        f"const before = {read}; const button = [...doc.querySelectorAll('.order')].at(-1); button.click();"
        f"const sorted = {read}; button.click(); return [before, sorted, {read}];"
    )
    before, longest_first, back = ask(explanation_page(EXPLANATION), tmp_path, script)
    assert before == back == ["conv<1>", "conv2", "relu", "nothing"]
    assert longest_first == ["conv2", "conv<1>", "relu", "nothing"]


def test_nothing_is_wider_than_a_small_screen(tmp_path):
    script = "const all = doc.documentElement; return [all.scrollWidth, all.clientWidth];"
    wide, width = ask(explanation_page(EXPLANATION), tmp_path, script, width=390)
    assert wide <= width
