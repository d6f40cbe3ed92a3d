"""Pickles that hang, fill the memory or build what they should not: refused in one line, at once."""

from __future__ import annotations

import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest

from hwnas.data._pickled import ByteArray, RefusedError, read_plain

DEEP = b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 60  # a tuple of tuples that has 2**60 leaves


def refuses(data: bytes, *errors: type[Exception]) -> str:
    start = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(errors or (ValueError, EOFError, struct.error)) as caught:
        read_plain(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20 + 8 * len(data)
    assert time.perf_counter() - start < 5
    return str(caught.value)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(b"}" + DEEP[2:] + b"Ns.", id="a key that takes for ever to hash"),
        pytest.param(b"cnumpy\ndtype\n(" + DEEP[2:] + b"tR.", id="a type that takes for ever to print"),
        pytest.param(b"\x80\x02Nr\xff\xff\xff\x7f.", id="a memo of 16 GB"),
        pytest.param(b"\x80\x04\x96" + struct.pack("<Q", 2**40) + b"x.", id="a terabyte of bytes"),
        pytest.param(b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x.", id="more bytes than there are"),
        pytest.param(b"\x80\x02" + b"]" * 200_000 + b".", id="lists without end"),
        pytest.param(b"\x80\x02" + b"(" * 200_000 + b".", id="marks without end"),
        pytest.param(b"\x80\x02N" + b"\x94" * 200_000 + b".", id="memos without end"),
        pytest.param(b"\x80\x04" + b"\x8f" * 100 + b".", id="sets"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n)\x81.", id="NEWOBJ"),
        pytest.param(b"\x80\x02cnumpy\ndtype\n)\x81N.", id="NEWOBJ of a type"),
        pytest.param(b"\x80\x04cnumpy\ndtype\n)}\x92.", id="NEWOBJ_EX"),
        pytest.param(b"I" + b"9" * 100_000 + b"\n.", id="a number of many digits"),
        pytest.param(b"\x8b" + struct.pack("<I", 10) + b"1" * 10 + b".", id="LONG4"),
        pytest.param(b"}(K\x01K\x02s.", id="a mark where a value is wanted"),
        pytest.param(b"N0.", id="POP"),
        pytest.param(b".", id="nothing"),
        pytest.param(b"NN.", id="two values"),
    ],
)
def test_attacks_end_at_once(attack: bytes) -> None:
    if attack.startswith(b"\x80\x02Nr"):
        assert read_plain(attack) is None  # the number of a memo is a name, not a size
    else:
        refuses(attack)


def test_names_are_refused_before_anything_is_built() -> None:
    assert refuses(b"cos\nsystem\n(Vx\ntR.", RefusedError) == "os.system"
    assert refuses(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", RefusedError) == "os.system"
    assert refuses(b"(Vx\nios\nsystem\n.", RefusedError) == "os.system"
    assert refuses(b"ca\x1b[31m\n" + b"x" * 500 + b"\n.", RefusedError) == "a\\x1b[31m." + "x" * 73
    assert refuses(b"cnumpy\ndtype\n(VO8\ntR.", RefusedError) == "arrays of type O8"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_those_of_pickle(protocol: int) -> None:
    plain = {
        "a": [1, -1, 300, 2**40, -(2**40), 1.5, None, True, False],
        "b": ("x", ("\u00e9" * 300, ()), {}),
        "c": [[]],
    }
    assert read_plain(pickle.dumps(plain, protocol)) == plain
    twice = ["word"] * 3
    assert read_plain(pickle.dumps([twice, twice], protocol)) == [twice, twice]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("order", "CF")
def test_arrays_of_bytes_are_those_of_numpy(protocol: int, order: str) -> None:
    values = np.array(np.arange(600, dtype=np.uint8).reshape(20, 30), order=order)
    found = read_plain(pickle.dumps(values, protocol))
    assert isinstance(found, ByteArray)
    assert found.rows is not None
    np.testing.assert_array_equal(found.rows, values)
    refuses(pickle.dumps(values.astype(np.int64), protocol), RefusedError)
