"""The doctor: whether predicting works on this machine, on which providers, and how to fix what does not."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asl_edge._version import __version__
from asl_edge.process.shared_libraries import remedy_for
from asl_edge.runtime import machine
from asl_edge.runtime.diagnostics.instructions import Instructions, instructions
from asl_edge.runtime.engine import installed_packages

TIERS: dict[str, tuple[str, ...]] = {
    "device": ("numpy", "typer", "rich"),
    "workshop": ("tensorflow", "keras", "tf2onnx", "onnx", "scikit-learn", "matplotlib"),
}
OLDEST = {"numpy": (1, 24), "cv2": (4, 8), "onnxruntime": (1, 17)}
"""The oldest versions with which asl-edge is tested."""

_LOW_MEMORY_BYTES = 400 * 2**20
_ABOVE_THE_PACKAGE = Path(__file__).resolve().parents[3]
_PROBE_SECONDS = 300  # TensorRT is slow to build even the smallest engine


@dataclass(frozen=True)
class Finding:
    """Something to fix."""

    problem: str
    remedy: str
    stops_predict: bool = False
    """Whether it keeps `predict` from working."""


@dataclass(frozen=True)
class ModuleCheck:
    """Whether a module can be imported, in a process of its own."""

    module: str
    version: str | None
    error: str | None = None


@dataclass(frozen=True)
class ProviderCheck:
    """Whether a provider of this ONNX Runtime really creates a session and computes correctly."""

    name: str
    works: bool
    ms: float | None = None
    """Milliseconds of one run of the smoke model; shows that it runs, not how fast."""
    reason: str | None = None


@dataclass
class Diagnosis:
    """Everything that the doctor found."""

    asl_edge: str
    python: str
    executable: str
    machine: dict[str, Any]
    available_memory_bytes: int | None
    packages: dict[str, dict[str, str | None]]
    """Tier -> distribution -> installed version, None if it is not installed."""
    modules: list[ModuleCheck]
    providers: list[ProviderCheck]
    instructions: Instructions | None = None
    """Of the processor; None where the system does not tell them."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def can_predict(self) -> bool:
        """Whether `predict` can work."""
        return not any(finding.stops_predict for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        told = None if self.instructions is None else self.instructions._asdict()
        return asdict(self) | {"instructions": told, "can_predict": self.can_predict}


Probe = Callable[[str, str], "dict[str, Any]"]
"""Takes `import` or `provider` and a name, returns the result of `asl_edge.runtime.diagnostics.probe`."""


def probe(what: str, name: str) -> dict[str, Any]:
    """Try one thing in a fresh process; a crash comes back as `error`."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "asl_edge.runtime.diagnostics.probe", what, name],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd=_ABOVE_THE_PACKAGE,  # not a folder that may hold somebody's own numpy.py
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it did not finish within {_PROBE_SECONDS} seconds"}
    try:
        outcome: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        if done.returncode < 0:
            return {"error": f"it crashes ({signal.Signals(-done.returncode).name})"}
        return {"error": f"it ends the process with exit code {done.returncode}"}
    return outcome


def examine(probe: Probe = probe, installed: set[str] | None = None) -> Diagnosis:
    """Examine this machine and this Python.

    Args:
        probe: tries modules and providers.
        installed: normalised names of the installed distributions; None to look.
    """
    installed = installed_packages.installed_names() if installed is None else installed
    with ThreadPoolExecutor() as pool:
        imports = dict(zip(OLDEST, pool.map(lambda module: probe("import", module), OLDEST), strict=True))
        offered = imports["onnxruntime"].get("offered", [])
        tried = dict(zip(offered, pool.map(lambda name: probe("provider", name), offered), strict=True))
    brought = [*installed_packages.installed_opencvs(installed), *installed_packages.installed_runtimes(installed)]
    tiers = TIERS | {"device": (*TIERS["device"][:1], *brought, *TIERS["device"][1:])}
    diagnosis = Diagnosis(
        asl_edge=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        machine=machine.describe(),
        available_memory_bytes=machine.available_memory_bytes(),
        packages={tier: {name: installed_packages.version_of(name) for name in names} for tier, names in tiers.items()},
        modules=[ModuleCheck(name, outcome.get("version"), outcome.get("error")) for name, outcome in imports.items()],
        providers=[
            ProviderCheck(name, "error" not in outcome, outcome.get("ms"), outcome.get("error"))
            for name, outcome in tried.items()
        ],
        instructions=instructions(machine.processor_features(), platform.machine()),
    )
    diagnosis.findings = [
        *_module_findings(diagnosis),
        *_clash_findings(installed),
        *_provider_findings(diagnosis),
        *_machine_findings(diagnosis),
    ]
    return diagnosis


def _module_findings(diagnosis: Diagnosis) -> list[Finding]:
    jetson = diagnosis.machine["jetson"] is not None
    install = {
        "numpy": "pip install --upgrade 'numpy>=1.24'",
        "cv2": "sudo apt install python3-opencv" if jetson else "pip install 'asl-edge[cpu]'",
        "onnxruntime": "install NVIDIA's onnxruntime-gpu for this JetPack" if jetson else "pip install 'asl-edge[cpu]'",
    }
    names = {"numpy": "NumPy", "cv2": "OpenCV", "onnxruntime": "ONNX Runtime"}
    findings = []
    for check in diagnosis.modules:
        name, remedy = names[check.module], install[check.module]
        if check.error is not None:
            problem = f"{name} cannot be imported: {check.error.splitlines()[-1]}"
            if "_ARRAY_API" in check.error or "multiarray" in check.error:
                problem = f"{name} was built for another NumPy than the one installed"
                remedy = f"pip install 'numpy<2', or upgrade {name}"
            elif missing := remedy_for(check.error):
                remedy = missing.rstrip(".")
            elif "SIGILL" in check.error and platform.machine() == "aarch64":
                remedy = "export OPENBLAS_CORETYPE=ARMV8 (put it into ~/.bashrc), or install a build for this processor"
            findings.append(Finding(problem, remedy, stops_predict=True))
        elif check.version is not None and _release(check.version) < OLDEST[check.module]:
            oldest = ".".join(map(str, OLDEST[check.module]))
            problem = f"{name} {check.version} is older than {oldest}, the oldest that asl-edge is tested with"
            findings.append(Finding(problem, remedy))
    return findings


def _clash_findings(installed: set[str]) -> list[Finding]:
    clashes = (installed_packages.runtime_clash(installed), installed_packages.opencv_clash(installed))
    return [Finding(clash.problem, clash.remedy) for clash in clashes if clash is not None]


def _provider_findings(diagnosis: Diagnosis) -> list[Finding]:
    findings = []
    works = {check.name: check.works for check in diagnosis.providers}
    for check in diagnosis.providers:
        if not check.works and check.name == "cpu":
            remedy = "pip install --force-reinstall onnxruntime"
            findings.append(Finding(f"Even the smoke model does not run on cpu: {check.reason}", remedy, True))
    if works and "cpu" not in works:
        findings.append(Finding("This ONNX Runtime has no cpu provider", "pip install 'asl-edge[cpu]'"))
    if diagnosis.machine["gpus"] and not (works.get("cuda") or works.get("tensorrt")):
        reason = next((check.reason for check in diagnosis.providers if check.name == "cuda"), None)
        if reason is None:
            remedy = "pip uninstall -y onnxruntime && pip install 'asl-edge[gpu]'"
            findings.append(Finding("There is an NVIDIA GPU, but this ONNX Runtime is built without CUDA", remedy))
        else:
            remedy = "pip install --upgrade 'asl-edge[gpu]' (it brings the CUDA and cuDNN libraries that fit)"
            findings.append(Finding(f"There is an NVIDIA GPU, but CUDA does not work: {reason}", remedy))
    if diagnosis.machine["jetson"] and works and not (works.get("cuda") or works.get("tensorrt")):
        problem = "This is a Jetson, but its GPU is not used: ONNX Runtime has no working CUDA"
        findings.append(Finding(problem, "Install NVIDIA's onnxruntime-gpu for this JetPack (see export/jetson)"))
    return findings


def _machine_findings(diagnosis: Diagnosis) -> list[Finding]:
    findings = []
    free = diagnosis.available_memory_bytes
    if free is not None and free < _LOW_MEMORY_BYTES:
        problem = f"Only {free / 1e6:.0f} MB of memory are free; AlexNet in FP32 takes 250 MB"
        findings.append(Finding(problem, "Close other programs, or export with --precision fp16 or a smaller network"))
    cores = diagnosis.machine["cores"]
    if cores < (os.cpu_count() or 1):
        problem = f"This process may use {cores} of the machine's {os.cpu_count()} cores"
        findings.append(Finding(problem, "Widen the container's or the service's CPU limit, if that is not intended"))
    return findings


def _release(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split(".")[:2]:
        digits = "".join(character for character in part if character.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)
