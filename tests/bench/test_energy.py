from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from asl_edge.bench.energy import NvmlMeter, find_meter


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{value}\n")


def rapl(sysfs: Path, name: str, what: str, microjoules: int, span: int = 1000_000_000) -> Path:
    folder = sysfs / "class" / "powercap" / name
    write(folder / "name", what)
    write(folder / "energy_uj", microjoules)
    write(folder / "max_energy_range_uj", span)
    return folder / "energy_uj"


def test_a_machine_that_counts_nothing(tmp_path: Path) -> None:
    assert find_meter(sysfs=tmp_path) == (None, "")


def test_packages_are_added_up_without_their_parts_and_turn_over(tmp_path: Path) -> None:
    first = rapl(tmp_path, "intel-rapl:0", "package-0", 5_000_000, span=9_999_999)
    second = rapl(tmp_path, "intel-rapl:1", "package-1", 9_000_000, span=9_999_999)
    core = rapl(tmp_path, "intel-rapl:0:0", "core", 0)
    whole = rapl(tmp_path, "intel-rapl:2", "psys", 0)

    meter, reason = find_meter(sysfs=tmp_path)
    assert meter is not None
    assert (meter.name, reason) == ("processor (2 packages, RAPL)", "")
    assert meter.joules() == 0
    for file, value in ((first, 6_500_000), (second, 500_000), (core, 10**8), (whole, 10**8)):
        write(file, value)
    assert meter.joules() == pytest.approx(1.5 + 1.5)
    write(first, 6_600_000)
    assert meter.joules() == pytest.approx(3.1)
    meter.close()


def test_a_counter_that_only_root_may_read_is_said(tmp_path: Path) -> None:
    counter = rapl(tmp_path, "intel-rapl:0", "package-0", 1)
    counter.unlink()
    counter.mkdir()  # root reads every file, but no folder

    meter, reason = find_meter(sysfs=tmp_path)
    assert meter is None
    assert "RAPL" in reason
    assert f"sudo chmod a+r {counter}" in reason


def rails(sysfs: Path, chip: str, named: dict[str, tuple[int, int]]) -> None:
    folder = sysfs / "class" / "hwmon" / chip
    write(folder / "name", "ina3221")
    for channel, (name, (millivolts, milliamperes)) in enumerate(named.items(), 1):
        write(folder / f"in{channel}_label", name)
        write(folder / f"in{channel}_input", millivolts)
        write(folder / f"curr{channel}_input", milliamperes)
    write(folder / "in7_label", "sum of shunt voltages")


class Clock:
    """A clock that the test moves, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr("asl_edge.bench.energy.clock", moved)
    return moved


def watts_of(sysfs: Path, clock: Clock) -> tuple[str, float]:
    meter, _ = find_meter(sysfs=sysfs)
    assert meter is not None
    try:
        before = meter.joules()
        clock.seconds += 0.5
        joules = meter.joules() - before
    finally:
        meter.close()
    return meter.name, joules / 0.5


def test_a_jetson_with_a_rail_for_everything(tmp_path: Path, clock: Clock) -> None:
    write(tmp_path / "class" / "hwmon" / "hwmon0" / "name", "thermal")
    rails(tmp_path, "hwmon3", {"VDD_IN": (5000, 1200), "VDD_CPU_GPU_CV": (5000, 400), "VDD_SOC": (5000, 300)})

    name, watts = watts_of(tmp_path, clock)
    assert name == "board (VDD_IN)"
    assert watts == pytest.approx(6.0)


def test_a_jetson_whose_rails_are_added_up(tmp_path: Path, clock: Clock) -> None:
    rails(tmp_path, "hwmon3", {"VDD_GPU_SOC": (19000, 100), "VDD_CPU_CV": (19000, 50), "NC": (0, 0)})
    rails(tmp_path, "hwmon4", {"VIN_SYS_5V0": (5000, 1000)})

    name, watts = watts_of(tmp_path, clock)
    assert name == "board (VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0)"
    assert watts == pytest.approx(1.9 + 0.95 + 5.0)


def test_a_jetson_with_an_older_kernel(tmp_path: Path, clock: Clock) -> None:
    device = tmp_path / "bus" / "i2c" / "drivers" / "ina3221x" / "6-0040" / "iio:device0"
    for channel, (name, milliwatts) in enumerate({"POM_5V_IN": 2500, "POM_5V_GPU": 300, "POM_5V_CPU": 700}.items()):
        write(device / f"rail_name_{channel}", name)
        write(device / f"in_power{channel}_input", milliwatts)

    name, watts = watts_of(tmp_path, clock)
    assert name == "board (POM_5V_IN)"
    assert watts == pytest.approx(2.5)


def test_the_power_between_two_questions_counts(tmp_path: Path, clock: Clock) -> None:
    rails(tmp_path, "hwmon3", {"VDD_IN": (5000, 200)})
    meter, _ = find_meter(sysfs=tmp_path)
    assert meter is not None
    before = meter.joules()
    clock.seconds += 1
    meter.joules()
    write(tmp_path / "class" / "hwmon" / "hwmon3" / "new", 4000)
    os.replace(  # noqa: PTH105 - a kernel's file is never empty, as one that is being written is
        tmp_path / "class" / "hwmon" / "hwmon3" / "new", tmp_path / "class" / "hwmon" / "hwmon3" / "curr1_input"
    )
    meter.joules()  # at the moment of the change
    clock.seconds += 2
    joules = meter.joules() - before
    meter.close()
    assert joules == pytest.approx(1.0 * 1 + 20.0 * 2)


def test_a_card_is_counted_or_the_reason_is_said(tmp_path: Path) -> None:
    meter, reason = find_meter(gpu=True, sysfs=tmp_path)
    if meter is None:
        assert "the GPU's energy (NVML) cannot be read" in reason
        with pytest.raises(OSError, match="libnvidia-ml|nvml"):
            NvmlMeter()
    else:
        first = meter.joules()
        time.sleep(0.3)
        assert meter.joules() > first
        meter.close()
