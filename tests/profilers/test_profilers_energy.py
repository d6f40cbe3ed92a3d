"""Energy counters on a fake sysfs tree and a fake NVML, and measuring with counters that move in steps."""

import os
from types import SimpleNamespace

import pytest

from profilers import EnergyUnavailableError, OnnxRuntimeBackend, energy_mj
from profilers._cuda import KernelRunnable
from profilers._energy import NvmlCounter, RaplCounter, energy_facts


def package(root, number, energy, most=1_000_000, name=None):
    zone = root / f"intel-rapl:{number}"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "name").write_text((name or f"package-{number}") + "\n")
    (zone / "max_energy_range_uj").write_text(f"{most}\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    return zone / "energy_uj"


def test_packages_are_added_up_and_their_parts_are_not(tmp_path):
    first, second = package(tmp_path, 0, 500), package(tmp_path, 1, 100)
    core = package(tmp_path, "0:0", 7, name="core")
    package(tmp_path, 2, 1, name="psys")
    counter = RaplCounter(tmp_path)
    assert counter.name == "RAPL package-0, package-1"
    assert counter.read_mj() == 0
    first.write_text("2500\n")
    second.write_text("1100\n")
    core.write_text("999999\n")
    assert counter.read_mj() == pytest.approx(3.0)


def test_a_counter_that_starts_anew_goes_on(tmp_path):
    file = package(tmp_path, 0, 999_000)
    counter = RaplCounter(tmp_path)
    for value, total in ((999_500, 0.5), (1_000, 2.0), (500_000, 501.0), (200, 1001.2)):
        file.write_text(str(value))
        assert counter.read_mj() == pytest.approx(total)


def test_without_a_counter_that_is_said(tmp_path):
    with pytest.raises(EnergyUnavailableError, match=r"has no RAPL counter \(a virtual machine, or"):
        RaplCounter(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "message"), [("many", "must hold a number, got 'many'"), (None, "cannot read .*: No such file")]
)
def test_a_counter_that_makes_no_sense_is_one_line(tmp_path, text, message):
    file = package(tmp_path, 0, 1)
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(EnergyUnavailableError, match=message):
        RaplCounter(tmp_path)


def test_a_counter_that_may_not_be_read_says_what_to_do(tmp_path, monkeypatch):
    file = package(tmp_path, 0, 1)
    if os.geteuid() == 0:  # root may read everything
        plain = type(file).read_text

        def refuse(path, *arguments, **options):
            if path == file:
                raise PermissionError(13, "Permission denied")
            return plain(path, *arguments, **options)

        monkeypatch.setattr(type(file), "read_text", refuse)
    file.chmod(0)
    with pytest.raises(EnergyUnavailableError) as caught:
        RaplCounter(tmp_path)
    assert str(caught.value) == (
        f"energy is unavailable: this user may not read {file}; `sudo chmod a+r {file}` allows it until the next reboot"
    )


class FakeNvml:
    NVMLError = RuntimeError

    def __init__(self, energies):
        self.energies = list(energies)

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        assert uuid == b"GPU-7"
        return 1

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if not self.energies:
            raise RuntimeError("Not Supported")
        return self.energies.pop(0)


def test_a_gpu_counts_for_its_whole_board():
    counter = NvmlCounter("7", FakeNvml([1000, 1000, 1250]))
    assert [counter.read_mj(), counter.read_mj()] == [1000, 1250]
    with pytest.raises(EnergyUnavailableError, match=r"NVML cannot read the energy of this GPU \(Not Supported\)"):
        counter.read_mj()
    with pytest.raises(EnergyUnavailableError, match="Not Supported"):
        NvmlCounter("7", FakeNvml([]))
    with pytest.raises(EnergyUnavailableError, match="pip install nvidia-ml-py"):
        NvmlCounter("7", SimpleNamespace())


class Device:
    """Takes `watts`, infers in `seconds`; its counter moves every `step` seconds."""

    name = "fake"

    def __init__(self, watts, seconds, step):
        self.watts, self.seconds, self.step = watts, seconds, step
        self.now, self.inferences = 0.0137, 0

    def clock(self):
        return self.now

    def run(self, repeats):
        self.now += repeats * self.seconds
        self.inferences += repeats
        return repeats * self.seconds

    def read_mj(self):
        return 1e3 * self.watts * self.step * int(self.now / self.step) if self.step else 5.0


@pytest.mark.parametrize("step", [1e-3, 0.02, 0.1])
@pytest.mark.parametrize("seconds", [20e-6, 0.7e-3, 40e-3])
def test_steps_of_the_counter_are_worth_less_than_one_percent(seconds, step):
    device = Device(35.0, seconds, step)
    assert energy_mj(device, device, clock=device.clock) == pytest.approx(1e3 * 35.0 * seconds, rel=0.01)
    assert device.now > 0.5


@pytest.mark.parametrize("copies", [8, 32])
@pytest.mark.parametrize("seconds", [20e-6, 1e-3, 3e-3])
def test_captured_graphs_count_all_of_their_inferences(seconds, copies):
    device = Device(35.0, seconds, 0.1)

    class Clock:
        def seconds(self, work):
            before = device.now
            work()
            return device.now - before

    runnable = KernelRunnable(lambda: device.run(copies), copies, Clock())
    assert energy_mj(runnable, device, clock=device.clock) == pytest.approx(1e3 * 35.0 * seconds, rel=0.01)


def test_a_counter_that_stands_still_ends_the_measurement():
    device = Device(35.0, 1e-3, 0)
    with pytest.raises(EnergyUnavailableError, match="fake did not change for 5 s"):
        energy_mj(device, device, clock=device.clock)
    assert device.now < 6


def test_a_profile_notes_the_energy_of_its_calibration_op_or_why_not(tmp_path):
    class Working(Device):
        def read_mj(self):
            return 1e3 * self.watts * self.now

    device = Working(10.0, 1e-3, 1)
    facts = energy_facts(lambda: device, device)
    assert facts == {"energy_counter": "fake", "calibration_op_mj": pytest.approx(10.0)}
    assert energy_facts(lambda: RaplCounter(tmp_path), device) == {
        "energy_counter": None,
        "energy_unavailable": f"energy is unavailable: {tmp_path} has no RAPL counter "
        "(a virtual machine, or a processor without one)",
    }


def test_a_cpu_backend_counts_its_packages(tmp_path, monkeypatch):
    package(tmp_path, 0, 5)
    monkeypatch.setattr("profilers._energy.RaplCounter.__init__.__defaults__", (tmp_path,))
    assert OnnxRuntimeBackend().energy_counter().name == "RAPL package-0"
    other = OnnxRuntimeBackend()
    other.provider = "OpenVINOExecutionProvider"
    with pytest.raises(EnergyUnavailableError, match="no counter is known for OpenVINOExecutionProvider"):
        other.energy_counter()


def test_a_meter_elsewhere_measures_whole_inferences_itself():
    class Meter:
        name = "elsewhere"

        def read_mj(self):
            raise AssertionError("the way there would be part of it")

        def inference_mj(self, runnable):
            return 0.25 * runnable

    assert energy_mj(2, Meter()) == 0.5
