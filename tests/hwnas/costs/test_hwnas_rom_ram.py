"""ROM and RAM as makers of microcontrollers state them: units, names, number formats, budgets and objectives."""

import numpy as np
import pytest

from hwnas._api._settings import search_settings
from hwnas._costs._cost import MEMORY, ROM, cost_named, written_budgets
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import HwnasError
from hwnas.spaces import make_space
from hwnas.testing import check_cost


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("256k", 262_144),
        ("256K", 262_144),
        ("256kB", 262_144),
        ("256 KiB", 262_144),
        ("1M", 1_048_576),
        ("1.5MiB", 1_572_864),
        ("1G", 2**30),
        ("3000", 3000),
        ("3000 bytes", 3000),
        ("3000B", 3000),
    ],
)
def test_sizes_are_read_with_units_of_1024(text, value):
    assert ROM.parse(text) == MEMORY.parse(text) == value
    assert ROM.parse(ROM.format(value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("text", ["", "0", "64i", "64Kbit", "-1k", "64kib", "1T", "9" * 400])
def test_other_sizes_are_refused(text):
    with pytest.raises(HwnasError, match=r"write it like 64k, 256KiB or 1M \(k = 1024 bytes\)"):
        ROM.parse(text)


def test_ram_is_memory():
    assert cost_named("ram") is MEMORY
    both = [search_settings({"minimize": "ram,rom", "ram_budget": "64k", "rom_budget": "256k"})]
    both.append(search_settings({"minimize": ["memory", "rom"], "budgets": {"ram": "64k", "rom": 262_144}}))
    for settings in both:
        assert settings.minimize == ("memory", "rom")
        assert settings.budgets == {"peak_memory_bytes": 65_536, "rom_bytes": 262_144}
    assert written_budgets(settings.budgets) == "memory 64 KiB, rom 256 KiB"


@pytest.mark.parametrize("given", [{"budgets": {"ram": 1, "memory": 2}}, {"ram_budget": "1k", "memory_budget": "2k"}])
def test_one_budget_under_two_names_is_refused(given):
    with pytest.raises(HwnasError, match=r"memory\w* is given twice, once as (ram|memory)"):
        search_settings(given)


SPACES = [
    ("mobilenetv3", {"resolution": [16]}),
    ("dscnn", {}),
    ("unet", {}),
]
"""Spaces of images, of a front end in float32, and of several tensors between blocks."""


@pytest.mark.parametrize(("name", "settings"), SPACES)
@pytest.mark.parametrize("cost", [ROM, MEMORY])
def test_in_int8_the_terms_make_the_whole(name, settings, cost):
    space = make_space(name, **settings)
    archs = space.sample(3, np.random.default_rng(1))
    codes = np.array([space.encode(arch) for arch in archs])
    int8 = [cost.value(space.graph(arch), 2, "int8") for arch in archs]
    assert SpaceCosts(space, None, batch=2, precision="int8").cost(cost.key)(codes).tolist() == int8
    if name != "dscnn":  # whose front end stays in float32
        floats = np.array([cost.value(space.graph(arch), 2) for arch in archs])
        assert (np.array(int8) < (floats / 2 if cost is MEMORY else floats * 1.2)).all()


def test_rom_keeps_the_contract_of_costs():
    check_cost(ROM)
    check_cost(MEMORY)
