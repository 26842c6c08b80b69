"""Energy meters: a Jetson's power rails, RAPL of x86 processors, NVML of NVIDIA's GPUs.

They count everything that the processor, GPU or board consumes, idle power and other processes included.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

clock = time.perf_counter
"""Seconds since some moment; tests replace it by one that they advance themselves."""

_TOTALS = ("VDD_IN", "POM_5V_IN", "5V_IN")
"""Rails that feed a whole Jetson module; on a board without any of them, all rails are added up."""

_RAIL_SECONDS = 0.01
"""Between two readings of the rails; the INA3221 measures about that often."""


class Meter(Protocol):
    """Something that counts energy."""

    name: str
    """What it counts, for people."""

    def joules(self) -> float:
        """Return the energy since some moment in the past, in joules."""

    def close(self) -> None:
        """Stop counting."""


class Meters:
    """Several meters that count different parts of one machine, as one."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self.name = " + ".join(meter.name for meter in meters)

    def joules(self) -> float:
        """Return the sum of all."""
        return sum(meter.joules() for meter in self._meters)

    def close(self) -> None:
        """Close all."""
        for meter in self._meters:
            meter.close()


def find_meter(*, gpu: bool = False, sysfs: Path = Path("/sys")) -> tuple[Meter | None, str]:
    """Return this machine's energy meter, or None; and why an existing counter cannot be read.

    Args:
        gpu: the network runs on an NVIDIA GPU, whose energy counts as well.
        sysfs: where Linux lists its devices.
    """
    rails = _rails(sysfs)
    reasons = []
    if rails:
        try:
            return RailMeter(rails), ""
        except (OSError, ValueError) as error:
            reasons.append(f"the board's rails ({', '.join(rails)}) cannot be read ({error})")
    meters: list[Meter] = []
    packages = _packages(sysfs)
    if packages:
        try:
            meters.append(RaplMeter(packages))
        except OSError as error:
            reasons.append(
                f"the processor's energy (RAPL) cannot be read ({error.strerror or error}); "
                f"until the next boot: sudo chmod a+r {' '.join(f'{package}/energy_uj' for package in packages)}"
            )
    if gpu:
        try:
            meters.append(NvmlMeter())
        except OSError as error:
            reasons.append(f"the GPU's energy (NVML) cannot be read ({error})")
    return (Meters(meters) if meters else None), "; ".join(reasons)


class RaplMeter:
    """Energy of processor packages, from Linux's powercap (Documentation/power/powercap/powercap.rst).

    Raises:
        OSError: on construction, when a counter cannot be read; since Linux 5.10 only root may.
    """

    def __init__(self, packages: Sequence[Path]) -> None:
        self.name = f"processor ({len(packages)} package{'s' if len(packages) > 1 else ''}, RAPL)"
        self._counters = [(path / "energy_uj", _number(path / "max_energy_range_uj")) for path in packages]
        self._last = [_number(file) for file, _ in self._counters]
        self._sum = 0

    def joules(self) -> float:
        """See `Meter.joules`; correct if called at least once per wrap-around of the counter (about an hour)."""
        for place, (file, span) in enumerate(self._counters):
            now = _number(file)
            self._sum += (now - self._last[place]) % (span + 1)
            self._last[place] = now
        return self._sum / 1e6

    def close(self) -> None:
        """See `Meter.close`."""


class RailMeter:
    """Energy of a Jetson: the power of its rails, read a hundred times per second and integrated.

    Args:
        rails: for each its name and the files whose product is its power: millivolts and milliamperes, or milliwatts
            alone.
    """

    def __init__(self, rails: dict[str, tuple[Path, ...]]) -> None:
        total = [name for name in _TOTALS if name in rails]
        self._files = [rails[name] for name in total[:1]] or list(rails.values())
        self.name = f"board ({total[0] if total else ' + '.join(rails)})"
        self._joules = 0.0
        self._watts = self._power()
        self._then = clock()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def joules(self) -> float:
        """See `Meter.joules`."""
        with self._lock:
            now, watts = clock(), self._power()
            self._joules += (self._watts + watts) / 2 * (now - self._then)
            self._then, self._watts = now, watts
            return self._joules

    def close(self) -> None:
        """See `Meter.close`."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_RAIL_SECONDS):
            with contextlib.suppress(OSError, ValueError):  # a rail that is busy is read again
                self.joules()

    def _power(self) -> float:
        watts = 0.0
        for files in self._files:
            values = [_number(file) / 1e3 for file in files]
            watts += values[0] * (values[1] if len(values) > 1 else 1.0)
        return watts


class NvmlMeter:
    """Energy of the first NVIDIA GPU (`nvmlDeviceGetTotalEnergyConsumption`, from Volta on).

    Raises:
        OSError: on construction, when there is no NVML, no GPU, or none that counts energy.
    """

    def __init__(self) -> None:
        self.name = "GPU 0 (NVML)"
        try:
            self._nvml = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError as error:
            raise OSError("libnvidia-ml.so.1 is missing") from error
        self._card = ctypes.c_void_p()
        self._call("nvmlInit_v2")
        self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(0), ctypes.byref(self._card))
        self.joules()

    def joules(self) -> float:
        """See `Meter.joules`."""
        millijoules = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._card, ctypes.byref(millijoules))
        return millijoules.value / 1e3

    def close(self) -> None:
        """See `Meter.close`."""
        with contextlib.suppress(OSError):
            self._call("nvmlShutdown")

    def _call(self, function: str, *values: object) -> None:
        try:
            code = getattr(self._nvml, function)(*values)
        except AttributeError as error:
            raise OSError(f"this driver has no {function}") from error
        if code:
            raise OSError(f"{function} gave {code}")


def _packages(sysfs: Path) -> list[Path]:
    """Return the folders of whole processor packages; their parts would count twice."""
    folders = []
    for folder in sorted((sysfs / "class" / "powercap").glob("*-rapl:*")):
        with contextlib.suppress(OSError):
            if (folder / "name").read_text().strip().startswith("package"):
                folders.append(folder)
    return folders


def _rails(sysfs: Path) -> dict[str, tuple[Path, ...]]:
    """Return the rails that a Jetson's INA3221 monitors, by name, with the files that hold their power."""
    rails: dict[str, tuple[Path, ...]] = {}
    for chip in sorted((sysfs / "class" / "hwmon").glob("hwmon*")):  # JetPack 5 and later
        with contextlib.suppress(OSError):
            if (chip / "name").read_text().strip() != "ina3221":
                continue
            for channel in (1, 2, 3):
                with contextlib.suppress(OSError):
                    name = (chip / f"in{channel}_label").read_text().strip()
                    files = (chip / f"in{channel}_input", chip / f"curr{channel}_input")
                    if name != "NC" and all(file.exists() for file in files):
                        rails[name] = files
    for device in sorted((sysfs / "bus" / "i2c" / "drivers" / "ina3221x").glob("*/iio:device*")):  # JetPack 4
        for channel in (0, 1, 2):
            with contextlib.suppress(OSError):
                file = device / f"in_power{channel}_input"
                if file.exists():
                    rails[(device / f"rail_name_{channel}").read_text().strip()] = (file,)
    return rails


def _number(file: Path) -> int:
    return int(file.read_text())
