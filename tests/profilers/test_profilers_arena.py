"""Live activations against what ONNX Runtime's arena really holds."""

import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwnas.spaces import make_space
from latency_tables import GraphBuilder
from profilers import ArenaTimeoutError, OnnxRuntimeBackend, _arena, build_onnx, ops, peak_memory_bytes, random_weights
from profilers._arena import arena_bytes, grown_bytes

SPACES = {
    "nasbench201": make_space("nasbench201", image_size=32, cells=2),
    "tiny": make_space("mobilenetv3", preset="tiny", resolution=32),
}


def written(folder, graphs, batch=1):
    paths = [folder / f"{i}.onnx" for i in range(len(graphs))]
    for path, graph in zip(paths, graphs, strict=True):
        path.write_bytes(build_onnx(graph, random_weights(graph), batch=batch).SerializeToString())
    return paths


def chain(channels):
    builder = GraphBuilder((3, 16, 16))
    x = builder.add("entry", ops.conv((3, 16, 16), channels[0], 3, act="relu"), "input")
    for i, width in enumerate(channels[1:]):
        x = builder.add(f"conv{i}", ops.conv(builder.shape(x), width, 3, act="relu"), x)
    return builder.build(builder.add("pool", ops.global_pool(builder.shape(x)), x))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other convolutions have work buffers")
@pytest.mark.parametrize("batch", [1, 4])
def test_a_chain_holds_exactly_its_live_activations(tmp_path, batch):
    graphs = [chain([32] * 5), chain([64, 32, 32])]
    found = arena_bytes(written(tmp_path, graphs, batch))
    by_hand = [2 * 32 * 256 * 4 * batch, (64 + 32) * 256 * 4 * batch]
    assert [peak_memory_bytes(graph, batch=batch) for graph in graphs] == by_hand
    assert found == pytest.approx(by_hand, rel=0.01)


@pytest.mark.parametrize(("name", "median"), [("nasbench201", 1.05), ("tiny", 1.35)])
def test_networks_hold_what_is_live_and_what_layouts_and_places_add(tmp_path, name, median):
    space = SPACES[name]
    graphs = [space.graph(arch) for arch in space.sample(12, np.random.default_rng(5))]
    found = np.array(OnnxRuntimeBackend().arena_bytes(written(tmp_path, graphs)))
    ratio = found / [peak_memory_bytes(graph) for graph in graphs]
    assert 0.95 < np.median(ratio) < median
    assert ratio.min() > (0.7 if name == "nasbench201" else 0.98)
    assert ratio.max() < 2.0


def test_what_cannot_be_executed_has_no_number_and_hides_none_before_it(tmp_path):
    (good,) = written(tmp_path, [chain([32, 32])])
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    first, second = arena_bytes([good, tmp_path / "broken.onnx"])
    assert first > 0
    assert second is None


def test_a_log_is_read_model_by_model():
    log = (
        "Extended allocation by 999 bytes.\nsecond inference of a\nExtended allocation by 64 bytes.\n"
        "Extended allocation by 128 bytes.\nend of second inference\nExtended allocation by 5 bytes.\n"
        "second inference of b\nend of second inference\n"
    )
    assert grown_bytes(log, "a") == 192
    assert grown_bytes(log, "b") is None
    assert grown_bytes(log, "c") is None
    unfinished = "second inference of a\nExtended allocation by 64 bytes.\n"
    assert grown_bytes(unfinished, "a") is None


def test_a_model_that_ends_the_process_hides_none_after_it(tmp_path):
    first, last = written(tmp_path, [chain([32, 32]), chain([64, 32])])
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    sizes = arena_bytes([first, tmp_path / "broken.onnx", last])
    assert sizes[1] is None
    assert sizes[0] > 0
    assert sizes[2] > 0


def test_the_limit_grows_with_the_models_and_late_ones_are_tried_alone(monkeypatch):
    asked, mark = [], "second inference of {0}\nExtended allocation by 64 bytes.\nend of second inference\n"

    def run(command, *, timeout, **more):
        models, names = command[3:], [Path(model).name for model in command[3:]]
        asked.append((names, timeout))
        if "slow" in names:
            done = models[: names.index("slow")]
            raise subprocess.TimeoutExpired(command, timeout, stderr="".join(map(mark.format, done)).encode())
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="".join(map(mark.format, models)))

    monkeypatch.setattr(_arena.subprocess, "run", run)
    models = [*map(str, range(20)), "slow", "after"]
    paths = [Path(model) for model in models]
    assert arena_bytes(paths) == [64] * 20 + [None, 64]
    assert [names for names, _ in asked] == [models, ["slow"], ["after"]]
    assert asked[0][1] == 3 * asked[1][1]
    with pytest.raises(ArenaTimeoutError, match="took more than 120 s"):
        arena_bytes([Path("slow")])


def test_networks_with_several_inputs_and_of_other_ranks_are_read(tmp_path):
    builder = GraphBuilder({"sound": (2, 64), "clip": (3, 4, 8, 8)})
    heard = builder.add("hear", ops.conv((2, 64), 8, 3, act="relu"), "sound")
    seen = builder.add("see", ops.conv((3, 4, 8, 8), 8, 3, act="relu"), "clip")
    graph = builder.build(heard, seen)
    (held,) = arena_bytes(written(tmp_path, [graph]))
    assert held is not None
    assert held > 0
    assert OnnxRuntimeBackend().load(graph).run(2) > 0


def test_nothing_is_imported_from_the_users_folder(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('from the wrong folder')\n")
    (tmp_path / "profilers").mkdir()
    (tmp_path / "profilers" / "__init__.py").write_text("raise SystemExit('from the wrong folder')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    (path,) = written(tmp_path, [chain([8])])
    assert arena_bytes([path.relative_to(tmp_path)])[0] is not None
