"""What the command line says to wrong input, whole lines; and that every command's help has an example that parses."""

import shlex

import pytest

from hwnas._cli import main
from hwnas._cli._parser import build_parser

RECIPE = (
    "known settings: epochs, batch_size, optimizer, learning_rate, warmup, weight_decay, clip, average, "
    "random_subnets, sampling, candidates, teacher_weight, taught_by, train_precision, small_first, "
    "label_smoothing, shift, flip, cutout, mixup, randaugment"
)
CELLS = "image_size, classes, image_channels, cells, channels"
MOBILE = (
    "preset, classes, resolution, width, image_channels, frontend, length, sample_rate, window_ms, hop_ms, bands, "
    "high_hz"
)
ERRORS = [
    ("", "the following arguments are required: COMMAND (see `hwnas --help`)"),
    ("predict", "the following arguments are required: table, arch (see `hwnas predict --help`)"),
    ("search --unknown", "unrecognized arguments: --unknown (see `hwnas --help`)"),
    ("search --batch x", "argument --batch: must be a whole number, got 'x' (see `hwnas search --help`)"),
    ("profile --networks x", "argument --networks: must be a whole number, got 'x' (see `hwnas profile --help`)"),
    ("table hide x", "argument action: invalid choice: 'hide' (choose from 'show') (see `hwnas table --help`)"),
    ("runs {tmp}/x", "{tmp}/x is not a folder; choose one that contains run directories"),
    ("compare a", "compare needs at least two runs"),
    ("compare {tmp}/a {tmp}/b", "{tmp}/a does not exist; choose another folder"),
    ("compare {tmp} {tmp}", "{tmp} is not a run of hwnas (no settings.json); choose another folder"),
    ("export {tmp}/x", "{tmp}/x does not exist; choose another folder"),
    ("search --samples 0", "--samples must be 1 or more, got 0"),
    ("search --seed -1", "--seed must be 0 or more, got -1"),
    ("search --batch 0", "--batch must be 1 or more, got 0"),
    ("search --minimize speed", "unknown cost 'speed' in --minimize; known costs: latency, macs, params, memory, rom"),
    ("search --minimize macs,macs", "--minimize needs at least one cost, and each only once"),
    ("search --latency-budget soon", "cannot read the latency 'soon'; write it like 4ms, 250us or 0.1s"),
    ("search --latency-budget 0ms", "cannot read the latency '0ms'; write it like 4ms, 250us or 0.1s"),
    ("search --macs-budget x", "cannot read the number 'x'; write it like 600k, 2M or 1.5G"),
    ("search --memory-budget 1T", "cannot read the size '1T'; write it like 64k, 256KiB or 1M (k = 1024 bytes)"),
    ("search --rom-budget 0k", "cannot read the size '0k'; write it like 64k, 256KiB or 1M (k = 1024 bytes)"),
    (
        "search --device tpu",
        "unknown device 'tpu'; known devices: cpu, cuda, cuda:N (see `hwnas devices`), ssh://[user@]host[:port]",
    ),
    ("search --precision fp8", "--precision fp8 is not available on device cpu; choose from fp32, int8, mixed"),
    (
        "search --space alexnet",
        "unknown space 'alexnet'; known spaces: convnet1d, dash1d, dash2d, dscnn, "
        "fpn, mobilenetv3, nasbench201, resnet, unet, video, or "
        "FILE.json",
    ),
    ("search --preset huge", "space mobilenetv3: unknown preset 'huge'; known presets: tiny, imagenet"),
    ("search --width 9", "space mobilenetv3: width multipliers must be 0.1-4, got 9.0"),
    ("search --width 1,x", "cannot read --width '1,x'; write numbers with commas between, like 16,32"),
    ("search --resolution 999", "space mobilenetv3: preset tiny needs images of 8-32 pixels, got 999"),
    ("search --resolution 8,8", "space mobilenetv3: resolution must be 1 to 32 different values, got [8, 8]"),
    ("search --space nasbench201 --width 1", "--width is not an option of space nasbench201; known options: " + CELLS),
    (
        "search --space nasbench201 --image-size 3",
        "space nasbench201: image_size must be a multiple of 4, got 3",
    ),
    ("search --not-here", "--offline needs --table FILE, the table of the device that is not available"),
    ("search --finalize later", "--finalize must be none, finetune, distil or train, got 'later'"),
    ("search --final-epochs 2", "--final-epochs and --final-recipe need --finalize finetune, distil or train"),
    ("search --finalize train --final-recipe a=b", "training has no setting 'a'; " + RECIPE),
    ("search --recipe no=1", "training has no setting 'no'; " + RECIPE),
    ("search --recipe cutout", "cannot read --recipe 'cutout'; write each setting once, like cutout=0.5,mixup=0.2"),
    ("search --epochs 0", "training: epochs must be a positive integer, got 0"),
    ("search --evaluator train --halving 1", "evaluator train: halving must be an integer of at least 2, got 1"),
    ("search --halving 2", "--halving is not an option of evaluator supernet; leave it out"),
    (
        "search --supernet-sampling bestup --evaluator train",
        "--supernet-sampling is not an option of evaluator train; leave it out",
    ),
    ("search --workers 0", "--workers must be a number of 1 or more, or ray, got '0'"),
    ("search --workers many", "--workers must be a number of 1 or more, or ray, got 'many'"),
    ("search --ray-address auto", "--ray-address needs --workers ray"),
    ("search --evaluation-threads 0", "--evaluation-threads must be 1 or more, got 0"),
    ("search --proposals 0", "--proposals must be 1 or more, got 0"),
    (
        "search --evaluator train --halving 2 --workers 2",
        "evaluator train stops trainings early depending on earlier ones; use --workers 1, without "
        "--evaluation-timeout",
    ),
    ("search --latency-column x", "--latency-column needs --evaluator table:FILE"),
    ("search --cheap synflow --strategy nsga2", "--low-fidelity needs --strategy lamoo, got --strategy nsga2"),
    ("search --data {tmp}/x", "data {tmp}/x: does not exist; give digits, a folder of images or an .npz file"),
    ("search --data-limit 0", "data digits: the limit must be 1 or more, got 0"),
    ("search --space nasbench201 --evaluator table:{tmp}/x.csv", "table {tmp}/x.csv: no such file"),
    ("search --table {tmp}/x.json", "cannot read the latency table {tmp}/x.json: No such file or directory"),
    ("fit {tmp}/x.csv --latency-column a --device b -o c", "table {tmp}/x.csv: no such file"),
    (
        "fit x.csv --latency-column a --device b -o c --unit h",
        "cannot use unit 'h'; units are s, ms, us, ns",
    ),
    ("merge {tmp}/a {tmp}/b -o c", "cannot read the latency table {tmp}/a: No such file or directory"),
    ("table show {tmp}/x", "cannot read the latency table {tmp}/x: No such file or directory"),
    ("predict {tmp}/x w1", "cannot read the latency table {tmp}/x: No such file or directory"),
    ("verify {tmp}/x", "cannot read the latency table {tmp}/x: No such file or directory"),
    ("verify x --seed -1", "--seed must be 0 or more, got -1"),
    ("validate x --networks 1", "--networks must be 2 or more, got 1"),
    ("validate {tmp}/x", "cannot read the latency table {tmp}/x: No such file or directory"),
    ("profile --networks 1", "--networks must be 2 or more, got 1"),
    ("profile --seed -1", "--seed must be 0 or more, got -1"),
    ("profile --classes 0", "space mobilenetv3: classes must be a positive integer, got 0"),
    ("profile --image-size 16", "--image-size is not an option of space mobilenetv3; known options: " + MOBILE),
    (
        "profile --space nasbench201 --preset tiny",
        "--preset is not an option of space nasbench201; known options: " + CELLS,
    ),
]


@pytest.mark.parametrize(("command", "message"), ERRORS)
def test_wrong_input_is_answered_in_one_line(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(shlex.split(command.format(tmp=tmp_path)))
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err == f"hwnas: error: {message.format(tmp=tmp_path)}\n"


def commands():
    parser = build_parser()
    (group,) = [action for action in parser._actions if action.dest == "command"]
    return sorted(group.choices)


@pytest.mark.parametrize("command", commands())
def test_every_help_has_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    (example,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("example: ")]
    words = shlex.split(example.removeprefix("example: "))
    assert words[:2] == ["hwnas", command]
    assert build_parser().parse_args(words[1:]).command == command
