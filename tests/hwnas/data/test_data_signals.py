"""Signals from WAV folders, CSV recordings and arrays: what is read, how it is divided, and what is refused."""

import itertools
import tracemalloc
import wave

import numpy as np
import pytest
import signal_toys
from scipy.io import wavfile
from signal_toys import RATE, motion, tone, tone_folder, write_csv, write_wav

from hwnas._errors import DataError
from hwnas.data import Reading, are_signals, load_signals
from hwnas.data._recordings import fitted, read_csv, read_wav, resampled, windows
from hwnas.data._splits import subset


def load(path, *, seed=0, limit=None, **reading):
    return load_signals(str(path), Reading(**reading), seed=seed, limit=limit)


def sizes(data):
    return len(data.train), len(data.validation), len(data.test)


def refused(path, **how):
    """The one line of an error, without the name of the data set before it."""
    with pytest.raises(DataError) as caught:
        load(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"data {path}").lstrip(": /")


# WAV files


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_every_width_is_scaled_to_one(tmp_path, width):
    values = np.array([[0.0, 0.5], [-0.5, 0.25], [-1.0, 0.75]])
    write_wav(tmp_path / "a.wav", values, width=width)
    rate, read = read_wav(tmp_path / "a.wav")
    assert rate == RATE
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, values.T, atol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_are_kept(tmp_path, kind):
    values = np.linspace(-1.5, 1.5, 7).astype(kind)
    wavfile.write(tmp_path / "a.wav", 16000, values)
    rate, read = read_wav(tmp_path / "a.wav")
    assert (rate, read.shape) == (16000, (1, 7))
    np.testing.assert_allclose(read[0], values, rtol=1e-6)


def test_a_tone_keeps_its_frequency_at_another_rate():
    times = np.arange(4410) / 44100
    tone = np.sin(2 * np.pi * 440 * times, dtype=np.float32)[None]
    lower = resampled(tone, 44100, 16000)
    assert lower.shape == (1, 1600)
    wanted = np.sin(2 * np.pi * 440 * np.arange(1600) / 16000)
    np.testing.assert_allclose(lower[0, 100:-100], wanted[100:-100], atol=0.01)


def test_the_middle_is_kept_and_zeros_are_put_around():
    values = np.arange(1, 6, dtype=np.float32)[None]
    assert fitted(values, 3).tolist() == [[2, 3, 4]]
    assert fitted(values, 2).tolist() == [[2, 3]]
    assert fitted(values, 8).tolist() == [[0, 1, 2, 3, 4, 5, 0, 0]]
    assert windows(values, 3, 2).tolist() == [[[1, 2, 3]], [[3, 4, 5]]]
    assert windows(values, 6, 1).shape == (0, 1, 6)


def test_a_folder_is_read_at_one_rate_and_length(tmp_path):
    rng = np.random.default_rng(0)
    for name, rate, length in (("a", 8000, 400), ("a", 8000, 400), ("a", 16000, 800), ("b", 8000, 300)):
        for take in range(3):
            write_wav(tmp_path / name / f"{rate}_{length}_{take}.wav", tone(rng, 500, length, rate), rate)
    data = load(tmp_path, length=0.04)
    assert data.classes == ("a", "b")
    assert data.loading["rate"] == 8000
    assert data.train.signals.shape[1:] == (1, 320)
    assert "3 WAV files of another sample rate resampled to 8000 Hz" in data.notes
    assert load(tmp_path, rate=4000, length=0.04).length == 160
    assert load(tmp_path).length == 400
    assert [data.length, data.channels] == [320, 1]


def test_long_recordings_are_cut_into_windows_that_stay_together(tmp_path):
    root = tone_folder(tmp_path, speakers=("ann",), takes=5, length=1000)
    data = load(root, window=400, hop=300)
    assert sizes(data) == (27, 9, 9)  # 3 of 5 recordings of 3 classes, 3 windows each
    assert np.bincount(data.test.targets).tolist() == [3, 3, 3]
    assert load(root, window=400).loading["hop"] == 200
    assert load(root, window=400, limit=4).train.signals.shape == (4, 1, 400)


def test_stereo_has_two_channels(tmp_path):
    rng = np.random.default_rng(0)
    for name, take in itertools.product("ab", range(4)):
        write_wav(tmp_path / name / f"{take}.wav", tone(rng, 500, channels=2))
    data = load(tmp_path)
    assert data.train.signals.shape[1:] == (2, 400)
    assert (len(data.mean), len(data.std)) == (2, 2)
    np.testing.assert_allclose(data.std, data.train.signals.std((0, 2)), rtol=1e-4)


# division


def test_parts_of_the_folder_are_kept_and_the_seed_decides_the_validation(tmp_path):
    root = tone_folder(tmp_path, parts=("train", "test"), takes=2)
    data = load(root)
    assert sizes(data) == (18, 6, 24)
    assert load(root).fingerprint == data.fingerprint != load(root, seed=1).fingerprint
    np.testing.assert_array_equal(load(root, seed=1).test.signals, data.test.signals)


def test_a_speaker_is_in_one_part(tmp_path):
    root = tone_folder(tmp_path, parts=("train", "test"), takes=2)
    for split_by in ("2", r"_([a-z]+)_\d"):
        data = load(root, split_by=split_by, hold_out=["bob"])
        assert sizes(data) == (24, 12, 12)
        assert data.notes[0].startswith("the folders or arrays of the parts (train, test) are put together")
        assert "the test part is bob" in data.notes
    assert sizes(load(root, split_by="2", hold_out=["bob", "ann"])) == (12, 12, 24)
    assert sizes(load(root, split_by="2")) == (24, 12, 12)
    assert load(root, split_by="2", seed=3).notes[-1] == load(root, split_by="2").notes[-1]  # the test part


def test_parts_without_a_common_speaker_are_kept(tmp_path):
    tone_folder(tmp_path, speakers=("ann", "bob"), takes=2)
    tone_folder(tmp_path, speakers=("eve",), takes=2, parts=("test",))
    data = load(tmp_path, split_by="2")
    assert sizes(data) == (6, 6, 6)
    assert "the test part is eve" in data.notes


def test_impossible_groups_are_refused(tmp_path):
    root = tone_folder(tmp_path, takes=1)
    first = root / "train" / "high" / "high_ann_0.wav"
    assert refused(root, hold_out=["ann"]) == (
        "--hold-out names groups of recordings; say with --split-by what they are"
    )
    assert refused(root, split_by="2", hold_out=["eve"]) == "--hold-out 'eve' is no group; groups: ann, bob, cid, dan"
    assert refused(root, split_by="2", hold_out=["ann", "bob", "cid"]).startswith("1 group of recordings left")
    assert "its name has 3 parts between _; give another number" in refused(root, split_by="4")
    line = refused(root, split_by="speaker")
    assert line.startswith("train/high/high_ann_0.wav: --split-by 'speaker' does not match 'train/high/high_ann_0.wav'")
    assert "--split-by '(' is not a regular expression" in refused(root, split_by="(")
    for path in (root / "train").rglob("high_*"):
        if path != first:
            path.unlink()
    assert "no group of the train part has the class 'high'" in refused(root, split_by="2", hold_out=["ann"])


# bad WAV files


def test_bad_wav_files_are_one_line(tmp_path):
    root = tone_folder(tmp_path, speakers=("ann",), takes=4)
    bad = root / "train" / "low" / "low_ann_1.wav"
    whole = bad.read_bytes()
    where = "train/low/low_ann_1.wav: "
    for content, line in (
        (b"nothing", "cannot be read as a WAV file (it does not begin like one); convert it, or remove the file"),
        (b"", "cannot be read as a WAV file (it does not begin like one)"),
        (whole[:-100], "cannot be read as a WAV file (it is cut off); repair or remove the file"),
        (whole[:30], "cannot be read as a WAV file ("),
    ):
        bad.write_bytes(content)
        assert refused(root).startswith(f"{where}{line}")
    with wave.open(str(bad), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
    assert refused(root) == f"{where}holds no samples; remove the file"
    wavfile.write(bad, RATE, np.array([0, np.nan], np.float32))
    assert refused(root) == f"{where}holds values that are not finite (NaN); repair or remove the file"
    write_wav(bad, tone(np.random.default_rng(0), 300, channels=2))
    message = refused(root)
    assert "has 2 channels, but " in message
    assert message.endswith("has 1 channel; convert all to one number of channels")
    write_wav(bad, tone(np.random.default_rng(0), 300, 100))
    assert refused(root, window=200) == (
        f"{where}has 100 samples at 8000 Hz, too few for a window of 200; give a smaller --window or remove the file"
    )


def test_options_that_do_not_fit_are_one_line(tmp_path):
    root = tone_folder(tmp_path / "wav", speakers=("ann",), takes=3)
    for how, line in (
        ({"window": 0}, "--window must be 1 or more, got 0"),
        ({"rate": -1}, "--rate must be 1 or more, got -1"),
        ({"length": 0.0}, "--length must be more than 0 and at most 3600 seconds, got 0"),
        ({"length": 0.1, "window": 8}, "--length keeps each recording whole, --window cuts it into pieces"),
        ({"hop": 4}, "--hop is the distance of two windows; give --window, too"),
        ({"columns": ["x"]}, "--columns is for CSV files, this folder holds WAV files; leave it out"),
        ({"regression": True}, "folders name classes, but the metric needs values"),
        ({"limit": 2}, "a limit of 2 recordings is too small for 3 classes; it must be at least 3"),
    ):
        assert refused(root, **how).startswith(line)
    assert refused(tmp_path / "none") == (
        "does not exist; give a folder of WAV or CSV files, a CSV file or an .npz file"
    )
    assert refused(tmp_path / "wav" / "train" / "low") == "no class folders; it must hold train/<class>/* or <class>/*"


def test_classes_that_are_no_classes_are_refused(tmp_path):
    root = tone_folder(tmp_path, speakers=("ann",), takes=3)
    write_wav(root / "test" / "other" / "a.wav", tone(np.random.default_rng(0), 300))
    line = "test: class 'other' is not one of the train classes; add it to the train part, rename or remove it"
    assert refused(root) == line
    (root / "train" / "silence").mkdir()
    assert refused(root) == "train/silence: a class without WAV files; add some (.wav, .wave) or remove it"


# CSV recordings


def labelled(root, subjects=4, rows=100, header=True):
    """A folder of recordings with a column of labels that changes once, and one of subjects."""
    rng = np.random.default_rng(0)
    for subject in range(subjects):
        cells = [
            [step, *(f"{value:.4f}" for value in row), kind, f"s{subject}"]
            for kind in ("walk", "run")
            for step, row in enumerate(motion(rng, kind, rows // 2))
        ]
        write_csv(root / f"r{subject}.csv", cells, ["time", "ax", "ay", "label", "subject"] if header else None)
    return root


def test_class_folders_of_csv_files(tmp_path):
    rng = np.random.default_rng(0)
    for kind, take in itertools.product(("walk", "run"), range(5)):
        write_csv(tmp_path / "train" / kind / f"{take}.csv", motion(rng, kind), ["ax", "ay"])
    data = load(tmp_path, window=50, hop=35)
    assert data.classes == ("run", "walk")
    assert sizes(data) == (18, 6, 6)  # 3, 1 and 1 recordings of each class, 3 windows each
    assert data.loading == {
        **{"source": "csv", "channels": 2, "rate": None, "length": 50, "window": 50, "hop": 35},
        "columns": ["ax", "ay"],
    }
    assert load(tmp_path).length == 120  # all are of one length


def test_a_column_of_labels(tmp_path):
    data = load(labelled(tmp_path), window=20, split_by="subject", hold_out=["s1"])
    assert (data.classes, data.loading["columns"]) == (("run", "walk"), ["ax", "ay"])
    assert sizes(data) == (18, 9, 9)
    assert data.test.targets.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]  # half a window each: the first in class order
    assert "columns that are no channels: time; --columns NAMES changes that" in data.notes
    assert load(tmp_path, window=20, split_by="subject", columns=["ay"]).channels == 1
    assert load(tmp_path, window=20, columns=["ax", "ay"]).test.signals.shape == (
        9,
        2,
        20,
    )  # whole recordings without groups


def rows_of(label, count=30, seed=0):
    """Lines of a CSV file of two axes as pandas writes them, with row numbers in front."""
    values = np.random.default_rng(seed).standard_normal((count, 2))
    return [[row, *(f"{value:.4f}" for value in each), label] for row, each in enumerate(values)]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "Time"])
def test_row_numbers_are_no_channel(tmp_path, name):
    for number in range(10):
        write_csv(tmp_path / f"{number}.csv", rows_of("ab"[number % 2], seed=number), [name, "ax", "ay", "label"])
    data = load(tmp_path, window=10)
    assert data.loading["columns"] == ["ax", "ay"]
    shown = name or "the one without a name"
    assert f"columns that are no channels: {shown}; --columns NAMES changes that" in data.notes


def test_a_channel_that_counts_rows_is_named(tmp_path):
    for number in range(10):
        rows = [[f"{0.02 * row:.2f}", *cells] for row, *cells in rows_of("ab"[number % 2], seed=number)]
        write_csv(tmp_path / f"{number}.csv", rows, ["Time (s)", "ax", "ay", "label"])
    data = load(tmp_path, window=10)
    assert data.loading["columns"] == ["Time (s)", "ax", "ay"]
    (note,) = [note for note in data.notes if "counts rows" in note]
    assert note == "column Time (s) counts rows in equal steps; if it is no signal, name the others: --columns NAMES"


@pytest.mark.parametrize("labels", [["0", "1"], ["walk", "run"], ["0.53", "0.61"]])
@pytest.mark.parametrize("missing", ["nan", "", "inf"])
def test_missing_labels_are_one_line(tmp_path, labels, missing):
    for number in range(10):
        rows = rows_of(labels[number % 2], seed=number)
        if number == 7:
            rows[4][-1] = missing
        write_csv(tmp_path / f"{number}.csv", rows, ["time", "ax", "ay", "label"])
    shown = f"'{missing}'" if missing else "empty"
    with pytest.raises(DataError, match=rf"7\.csv: the label of row 5 is {shown}; correct or remove the row"):
        load(tmp_path, window=10)


def test_one_file_holds_runs_of_groups(tmp_path):
    lines = [(labelled(tmp_path / "x") / f"r{i}.csv").read_text().splitlines() for i in range(4)]
    one = tmp_path / "all.csv"
    one.write_text("\n".join([lines[0][0], *(row for part in lines for row in part[1:])]))
    data = load(one, window=20, split_by="subject", hold_out=["s1"])
    assert data.fingerprint == load(tmp_path / "x", window=20, split_by="subject", hold_out=["s1"]).fingerprint
    assert refused(one, window=20) == "line 2: column subject is 's0', not a number; correct or remove the row"
    assert refused(one, window=20, columns=["ax"]).startswith(
        "1 recording for the train part, but all windows of a recording stay"
    )


def test_values_are_averaged_over_windows(tmp_path):
    for name in "abcd":
        write_csv(tmp_path / f"{name}.csv", [[i, i / 10] for i in range(8)], ["x", "label"])
    data = load(tmp_path, window=4)
    assert data.classes == ()
    np.testing.assert_allclose(data.test.targets, [0.15, 0.35, 0.55], rtol=1e-6)
    assert data.test.targets.dtype == np.float32
    write_csv(tmp_path / "d.csv", [[i, "high"] for i in range(8)], ["x", "label"])
    assert refused(tmp_path, window=4, regression=True) == (
        "d.csv: the label of row 1, 'high', is no finite number, but the metric needs values; correct it, or give "
        "--metric accuracy"
    )


def test_numbers_are_classes_in_their_order(tmp_path):
    for number in range(4):
        write_csv(tmp_path / f"{number}.csv", [[i, [10, 2, "2.0"][i // 3]] for i in range(9)], ["x", "label"])
    assert load(tmp_path, window=3).classes == ("2", "10")


def test_labels_that_python_reads_as_numbers_are_names(tmp_path):
    for number in range(9):
        write_csv(tmp_path / f"{number}.csv", [[i, ["1_12", "11_2", "2_1"][i // 3]] for i in range(9)], ["x", "label"])
    assert load(tmp_path, window=3).classes == ("11_2", "1_12", "2_1")


def test_columns_that_count_are_a_header(tmp_path):
    for header, count in (("0,1,2", 3), ("1,2,3", 3), ("0,1,3", 4), ("0,1", 4)):
        width = header.count(",") + 1
        (tmp_path / "x.csv").write_text(f"{header}\n" + f"{'7,8,9'[: 2 * width - 1]}\n" * 3)
        table = read_csv(tmp_path / "x.csv")
        assert (len(table.lines), table.names) == (count, ("1", "2", "3")[:width])


def test_the_number_of_a_column_of_one_file_is_no_part_of_a_name(tmp_path):
    lines = [(labelled(tmp_path / "x", header=False) / f"r{i}.csv").read_text() for i in range(4)]
    rows = [",".join([cells[-1], *cells[:-1]]) for cells in (row.split(",") for row in "".join(lines).splitlines())]
    (tmp_path / "1_2.csv").write_text("\n".join(rows))
    data = load(tmp_path / "1_2.csv", window=20, label_column="5", columns=["3", "4"], split_by="1", hold_out=["s1"])
    assert (data.classes, len(data.test)) == (("run", "walk"), 9)


def test_a_number_is_a_part_of_names_before_it_is_a_column(tmp_path):
    rng = np.random.default_rng(0)
    for subject, take in itertools.product(range(4), range(2)):
        for kind in ("walk", "run"):
            write_csv(tmp_path / kind / f"s{subject}_{take}.csv", motion(rng, kind, 20), None)
    data = load(tmp_path, window=20, split_by="1", hold_out=["s3"])
    assert (data.channels, sizes(data)) == (2, (8, 4, 4))


@pytest.mark.parametrize("text", ["a;b\n1;2\n", "a\tb\n1\t2\n", '\ufeff"a","b"\r\n\r\n"1","2"\r\n'])
def test_delimiters_quotes_and_blank_lines(tmp_path, text):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    table = read_csv(tmp_path / "x.csv")
    assert table.names == ("a", "b")
    assert table.floats(["b", "a"]).tolist() == [[2, 1]]


def test_without_a_header_columns_are_numbered(tmp_path):
    labelled(tmp_path, header=False)
    data = load(tmp_path, window=20, label_column="4", columns=["2", "3"], split_by="5")
    assert (data.classes, data.channels) == (("run", "walk"), 2)


def test_bad_csv_files_are_one_line(tmp_path):
    rng = np.random.default_rng(0)
    for kind, take in itertools.product(("walk", "run"), range(3)):
        write_csv(tmp_path / "train" / kind / f"{take}.csv", motion(rng, kind, 20), ["ax", "ay"])
    bad = tmp_path / "train" / "walk" / "2.csv"
    for text, line in (
        ("ax,ay\n1,2\n3,four\n", "line 3: column ay is 'four', not a number; correct or remove the row"),
        ("ax,ay\n1,2\n\n3,\n", "line 4: column ay is empty; correct or remove the row"),
        ("ax,ay\n1,nan\n", "line 2: column ay is nan; fill in a finite number or remove the row"),
        ("ax,ay\n1,2\n3\n", "line 3 has 1 cells, the first line 2; correct or remove it"),
        ("ax,ay\n", "holds a header but no rows; remove the file"),
        ("\n", "holds no rows; remove the file"),
        ("ax,az\n1,2\n", "has no column 'ay'; it has ax, az"),
        ("ax,ax\n1,2\n", "has two columns of one name in its header; rename one"),
        ("ax,ay\n1,1e39\n", "holds numbers beyond 3e38; scale the columns"),
        ('ax,ay\n1,"2\n3"\n', "has a quoted cell with a line break; write each row on one line"),
    ):
        bad.write_text(text)
        assert refused(tmp_path) == f"train/walk/2.csv: {line}"
    bad.write_bytes(b"ax,ay\n1,\xff\n")
    assert refused(tmp_path) == "train/walk/2.csv: is not UTF-8 text; save it as CSV in UTF-8"
    write_csv(bad, motion(rng, "walk", 20), ["ax", "ay"])
    assert refused(tmp_path, window=30).endswith(
        "20 rows, too few for a window of 30; give a smaller --window or remove them"
    )
    assert refused(tmp_path, rate=50) == "--rate is for WAV files, these are CSV files; give --window"
    write_csv(tmp_path / "one" / "0.csv", [[1, 2]], ["ax", "ay"])
    assert refused(tmp_path / "one") == (
        "0.csv: has no column 'label'; it has ax, ay; name the column of labels: --label-column NAME"
    )


def test_a_class_of_the_test_part_alone_is_refused(tmp_path):
    for part, kinds in (("train", ("a", "b")), ("test", ("a", "c"))):
        for take in range(3):
            rows = [[i, kind] for kind in kinds for i in range(4)]
            write_csv(tmp_path / part / f"{take}.csv", rows, ["x", "label"])
    assert refused(tmp_path, window=4) == "the class 'c' is in the test part alone; add train recordings of it"


@pytest.mark.parametrize("how", [{}, {"split_by": "who"}])
def test_a_folder_without_train_recordings_is_refused(tmp_path, how):
    (tmp_path / "train").mkdir()
    write_csv(tmp_path / "0.csv", [[i, "a", 0] for i in range(4)], ["x", "label", "who"])
    assert refused(tmp_path, **how) == "its parts hold no CSV files; put recordings into the train part"
    for take in range(3):
        write_csv(tmp_path / "test" / f"{take}.csv", [[i, "ab"[i % 2], take] for i in range(4)], ["x", "label", "who"])
    assert refused(tmp_path, **how) == "holds no recordings for the train part; add some"


# arrays


def test_arrays_are_read_as_they_are(tmp_path):
    data = load(signal_toys.arrays(tmp_path / "x.npz"))
    assert (data.classes, sizes(data)) == (("5", "6", "7"), (18, 6, 24))
    assert data.test.signals.shape == (24, 2, 64)
    values = load(signal_toys.arrays(tmp_path / "v.npz", values=True))
    assert (values.classes, values.test.targets.dtype) == ((), np.float32)
    assert sizes(load(tmp_path / "x.npz", limit=9)) == (9, 6, 9)


def test_groups_of_arrays_are_kept_together(tmp_path):
    path = signal_toys.arrays(tmp_path / "x.npz", groups=True)  # 8 groups of 3 signals, in both parts
    data = load(path, hold_out=["1", "2"])
    assert sizes(data) == (24, 12, 12)
    assert "the test part is 1, 2" in data.notes


def test_bad_arrays_are_one_line(tmp_path):
    path = tmp_path / "x.npz"
    x, y = np.ones((6, 2, 8), np.float32), np.arange(6) % 2
    holed = x.copy()
    holed[4, 1, 3] = np.nan
    for arrays, line in (
        ({"x_train": x}, "the array y_train is missing; add it"),
        ({"x_train": x[:, 0], "y_train": y}, "x_train has shape (6, 8); signals must be (n, channels, length)"),
        ({"x_train": holed, "y_train": y}, "x_train[4, 1, 3] is no finite 32-bit number; fill in a number or remove"),
        ({"x_train": x, "y_train": y[:5]}, "y_train must be 6 finite numbers (n,), got int64 (5,)"),
        ({"x_train": x, "y_train": y * 0}, "only one class, '0', in y_train"),
        (
            {"x_train": x, "y_train": y, "x_test": x, "y_test": y + 1},
            "y_test holds the label 2, which y_train does not",
        ),
        (
            {"x_train": x, "y_train": y, "x_test": x[:, :1], "y_test": y},
            "signals of x_test are (1, 8), those of x_train",
        ),
        (
            {"x_train": x, "y_train": y, "group_train": y[:3]},
            "group_train must be 6 whole numbers (n,), got int64 (3,)",
        ),
    ):
        np.savez(path, **arrays)
        assert refused(path).startswith(line)
    assert refused(path, window=4) == "--window is not for .npz files: its signals are cut already; leave it out"


def test_data_for_signals_are_recognised(tmp_path):
    tone_folder(tmp_path / "wav", speakers=("ann",), takes=1)
    labelled(tmp_path / "csv", subjects=1)
    (tmp_path / "both" / "a").mkdir(parents=True)
    (tmp_path / "both" / "a" / "x.png").write_bytes(b"")
    (tmp_path / "both" / "a" / "x.wav").write_bytes(b"")
    yes = {"wav", "csv", "csv/r0.csv"}
    for name, shape, kind in (
        ("signals", (4, 3, 40), np.float32),
        ("images", (4, 8, 8), np.float32),
        ("wide", (4, 8, 40), np.uint8),
        ("colour", (4, 8, 8, 3), np.float32),
    ):
        np.savez(tmp_path / f"{name}.npz", x_train=np.zeros(shape, kind), y_train=np.zeros(4, int))
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    yes |= {"signals.npz"}
    for name in (*yes, "both", "images.npz", "wide.npz", "colour.npz", "damaged.npz", "none", "wav/none.csv"):
        assert are_signals(str(tmp_path / name)) == (name in yes), name
    assert not are_signals("digits")
    assert not are_signals("")


def test_a_stray_image_among_recordings_changes_nothing(tmp_path):
    root = tone_folder(tmp_path, speakers=("ann",), takes=1)
    (root / "train" / "low" / "cover.png").write_bytes(b"")
    assert are_signals(str(root))
    for name in "abcdef":
        (root / "train" / "low" / f"{name}.png").write_bytes(b"")
    assert not are_signals(str(root))  # images with some recordings beside them


def test_lengths_that_change_are_counted_over_all_parts(tmp_path):
    root = tone_folder(tmp_path, speakers=("ann",), takes=2, parts=("train", "test"))
    write_wav(root / "test" / "low" / "low_ann_9.wav", tone(np.random.default_rng(0), 300, 640))
    (note,) = (line for line in load(root).notes if "brought" in line)
    assert note == (
        "recordings of 0.05 to 0.08 s are brought to 0.05 s: the middle of 1 longer one, zeros around 0 shorter ones; "
        "--length SECONDS changes that"
    )
    assert any(
        "brought to 0.06 s: the middle of 1 longer one, zeros around 12" in n for n in load(root, length=0.06).notes
    )


def test_speakers_in_two_parts_are_said_where_names_tell(tmp_path):
    root = tone_folder(tmp_path / "tones", takes=2, parts=("train", "test"))
    assert load(root).notes == (
        "train and test recordings share part 2 of their names (ann, bob, cid and 1 more); if it names speakers or "
        "subjects, give --split-by 2 to keep each in one part",
    )
    assert not any("share part" in note for note in load(root, split_by="2").notes)
    one = tone_folder(tmp_path / "one", speakers=("ann",), takes=5)  # takes are numbers, not speakers
    assert load(one).notes == ()


def test_whole_numbers_say_what_they_are_taken_for(tmp_path):
    rng = np.random.default_rng(0)
    for take in range(4):
        rows = [[*row, 70 + step // 20] for step, row in enumerate(motion(rng, "walk", 40))]
        write_csv(tmp_path / f"{take}.csv", rows, ["ax", "ay", "label"])
    note = (
        "column label holds whole numbers: they are taken for 2 classes; give --metric rmse if they are values, such as"
    )
    assert any(line.startswith(note) for line in load(tmp_path, window=20, hop=20).notes)
    assert not any("whole numbers" in line for line in load(tmp_path, window=20, regression=True).notes)
    values = load(signal_toys.arrays(tmp_path / "v.npz", values=True)).notes
    assert values[0].startswith("y_train holds values: networks predict them (rmse)")


@pytest.mark.parametrize("kind", ["wav", "csv"])
def test_a_limit_counts_before_windows_are_copied(tmp_path, kind):
    for name in ("a", "b"):
        for part in ("train", "val", "test"):
            values = tone(np.random.default_rng(0), 300.0, length=30_000)
            if kind == "wav":
                write_wav(tmp_path / part / name / "1.wav", values)
            else:
                write_csv(tmp_path / part / name / "1.csv", values.tolist(), header=["x"])
    tracemalloc.start()
    data = load(tmp_path, limit=12, window=20_000, hop=1)  # 10,001 windows of 80,000 bytes in each file
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes(data) == (12, 12, 12)
    assert peak < 50e6
    whole = data.train.signals
    assert whole.flags.writeable
    assert len(np.unique(whole[:, 0, 0])) > 6


def test_a_limit_keeps_the_windows_that_it_kept_before_they_were_views(tmp_path):
    tone_folder(tmp_path, parts=("train", "test"))
    every, some = (load(tmp_path, window=50, hop=25, limit=limit) for limit in (None, 30))
    chosen = subset("", every.train.targets, 30, needed=1)
    assert (some.train.signals == every.train.signals[chosen]).all()
    assert (some.train.targets == every.train.targets[chosen]).all()


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("01", "02"), ("01", "02")),
        (("1", "01", "2"), ("01", "1", "2")),
        (("0.5", "1.5"), ("0.5", "1.5")),
        (("2", "10"), ("2", "10")),
        (("1e3", "up"), ("1e3", "up")),
    ],
)
def test_folders_of_csv_files_are_classes_whatever_their_names(tmp_path, folders, classes):
    for folder in folders:
        for i in range(4):
            write_csv(tmp_path / folder / f"{i}.csv", [[value] for value in range(i, i + 8)], header=["x"])
    data = load(tmp_path)
    assert data.classes == classes
    assert data.train.targets.dtype == np.int64


def test_whole_numbers_of_any_size_are_different_classes(tmp_path):
    rows = [[value, 10**25 + (value % 20 >= 10)] for value in range(200)]
    for i in range(4):
        write_csv(tmp_path / f"{i}.csv", rows, header=["x", "label"])
    assert load(tmp_path, window=10).classes == (str(10**25), str(10**25 + 1))


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e12])
def test_the_unit_of_signals_does_not_matter(tmp_path, unit):
    signals = np.random.default_rng(0).standard_normal((20, 2, 16)) * [[1.0], [3.0]]
    np.savez(tmp_path / "u.npz", x_train=signals * unit, y_train=np.arange(20) % 2)
    data = load(tmp_path / "u.npz")
    assert np.array(data.std) / unit == pytest.approx(data.train.signals.std(axis=(0, 2), dtype=np.float64) / unit)


def test_a_channel_that_does_not_change_is_not_blown_up(tmp_path):
    signals = np.random.default_rng(0).standard_normal((20, 3, 16))
    signals[:, 1], signals[:, 2] = 0.0, 5.0
    np.savez(tmp_path / "u.npz", x_train=signals, y_train=np.arange(20) % 2)
    assert load(tmp_path / "u.npz").std[1:] == (1.0, pytest.approx(5e-6))


def test_labels_of_all_parts_are_of_one_kind(tmp_path):
    x = np.random.default_rng(0).standard_normal((6, 1, 8))
    labels = {"y_train": np.arange(6, dtype=np.uint64) % 2, "y_test": np.arange(6) % 2}
    path = tmp_path / "k.npz"
    np.savez(path, x_train=x, x_test=x, **labels)
    assert load(path).classes == ("0", "1")
    np.savez(path, x_train=x, x_test=x, **{**labels, "y_test": np.arange(6.0)})
    assert refused(path) == "y_test holds float64; y_train holds integers; give one kind"
    np.savez(path, x_train=x, y_train=np.arange(6.0))
    assert refused(path, regression=False) == "y_train holds float64; classes must be integers"
    np.savez(path, x_train=x, y_train=np.arange(6.0) * 1e300)
    assert refused(path) == "y_train[1] is 1e+300, which no 32-bit number holds; give the values in another unit"
