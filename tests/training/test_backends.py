"""The same training on TensorFlow, JAX and PyTorch, on several devices, and on several hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_network
from free_port import free_port
from training.train_somewhere import train_once

from asl_edge.export.export import export_run
from asl_edge.training import networks

SCRIPT = Path(__file__).with_name("train_somewhere.py")
CONFIG: dict[str, Any] = {"recipe": "default", "batch_size": 16, "learning_rate": 0.02, "epochs": 6, "drop_last": True}


PROCESSES: list[subprocess.Popen[str]] = []


@pytest.fixture(scope="module", autouse=True)
def programs_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """JAX compiles for ten seconds in every process: let them share what is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    yield
    while PROCESSES:
        with PROCESSES.pop() as process:
            process.kill()


def begin(
    arrays: Path, runs: dict[str, Any] | list[dict[str, Any]], *hosts: object, **environment: str
) -> subprocess.Popen[str]:
    """Start a process that does these trainings, one after the other."""
    runs = runs if isinstance(runs, list) else [runs]
    words = [sys.executable, str(SCRIPT), str(arrays), json.dumps(runs, default=str), *map(str, hosts)]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SCRIPT.parents[1:3])), **environment},
    )
    PROCESSES.append(process)
    return process


def ended(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return the results of the trainings of a process."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def weights_of(run: Path) -> list[np.ndarray]:
    import keras

    return [np.asarray(weight) for weight in keras.models.load_model(run / "best.keras", compile=False).weights]


def needs(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_backend_learns_the_same_and_what_it_learnt_is_exported(
    backend: str, shared_colour_arrays: Path, tmp_path: Path
) -> None:
    needs(backend)
    wanted = CONFIG | {"ema_momentum": 0.5, "accumulate": 2, "clip_norm": 5.0, "epochs": 8, "balance_classes": True}
    wanted["out"] = tmp_path / "run"
    if backend == "tensorflow":  # this process has it
        result = json.loads(train_once(str(shared_colour_arrays), wanted))
    else:
        (result,) = ended(begin(shared_colour_arrays, wanted, KERAS_BACKEND=backend))
    assert result["backend"] == backend
    assert max(row["val_accuracy"] for row in result["history"]) == 1.0
    exported = export_run(tmp_path / "run", tmp_path / "model.onnx")
    assert exported.parity.label_agreement == 1.0


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_stopped_within_an_epoch_it_resumes_at_the_step_and_trains_for_more_epochs(
    backend: str, shared_colour_arrays: Path, tmp_path: Path
) -> None:
    """JAX keeps the weights of a running epoch outside of the model's variables: they must be there when it is saved.

    Under `python -O`, where an `assert` does nothing; tests/training/loop does the same with TensorFlow.
    """
    needs(backend)
    config = CONFIG | {"recipe": "tutorial", "checkpoint_steps": 1, "drop_last": False, "momentum": 0.9}
    environment = {"KERAS_BACKEND": backend, "PYTHONOPTIMIZE": "1"}
    stop_at = [2, 2 * 16]
    runs = [
        config | {"out": tmp_path / "whole", "epochs": 4},
        config | {"out": tmp_path / "run", "epochs": 2, "stop_at": stop_at},
    ]
    whole, stopped = ended(begin(shared_colour_arrays, runs, **environment))
    assert stopped == {"stopped_at": stop_at}
    more = config | {"out": tmp_path / "run", "epochs": 4, "resume": True}
    (resumed,) = ended(begin(shared_colour_arrays, more, **environment))
    for ours, theirs in zip(resumed["history"], whole["history"], strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert ours[name] == theirs[name]
    for mine, other in zip(weights_of(tmp_path / "run"), weights_of(tmp_path / "whole"), strict=True):
        assert np.array_equal(mine, other)


@pytest.fixture(scope="module")
def config(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the trainings on several devices and hosts; they start from a trained network."""
    needs("jax")
    folder = tmp_path_factory.mktemp("trained")
    tiny_network.register()
    network = networks.build("tiny", 3, 32)
    run = make_run(folder / "run", network, network="tiny", fit="stretch")
    return CONFIG | {"start_from": str(export_run(run, folder / "model.onnx").model_path)}


@pytest.fixture(scope="module")
def alone(
    config: dict[str, Any], shared_colour_arrays: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """The result of a training with JAX on one device, and its run folder."""
    run = tmp_path_factory.mktemp("alone") / "one"
    (result,) = ended(begin(shared_colour_arrays, config | {"out": run}, KERAS_BACKEND="jax"))
    return result, run


def test_two_devices_of_one_host_train_as_one(
    config: dict[str, Any], shared_colour_arrays: Path, tmp_path: Path, alone: tuple[dict[str, Any], Path]
) -> None:
    flags = "--xla_force_host_platform_device_count=2"
    runs = [config | {"out": tmp_path / "two"}, config | {"out": tmp_path / "odd", "batch_size": 15}]
    process = begin(shared_colour_arrays, runs, KERAS_BACKEND="jax", XLA_FLAGS=flags)
    out, errors = process.communicate(timeout=600)
    check_alike(alone[0], json.loads(out.splitlines()[0]), alone[1], tmp_path / "two")
    assert process.returncode != 0
    assert "cannot be shared evenly among 2 devices" in errors


def test_two_devices_of_one_host_train_as_one_with_tensorflow(shared_colour_arrays: Path, tmp_path: Path) -> None:
    """MirroredStrategy on two logical CPUs; without dropout, which each device draws for itself."""
    config = CONFIG | {"dropout_scale": 0.0, "augmentation": "none", "ema_momentum": 0.9}
    two = begin(shared_colour_arrays, config | {"out": tmp_path / "two"}, LOGICAL_CPUS="2")
    one = json.loads(train_once(str(shared_colour_arrays), config | {"out": tmp_path / "one"}))
    check_alike(one, ended(two)[0], tmp_path / "one", tmp_path / "two")


def check_alike(ours: dict[str, Any], theirs: dict[str, Any], our_run: Path, their_run: Path) -> None:
    for one, two in zip(ours["history"], theirs["history"], strict=True):
        for name in ("loss", "val_loss"):
            assert one[name] == pytest.approx(two[name], rel=2e-4)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=1e-6)
    for one, two in zip(weights_of(our_run), weights_of(their_run), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-4)


def test_two_hosts_train_as_one_and_resume_after_one_was_killed(
    config: dict[str, Any], shared_colour_arrays: Path, tmp_path: Path, alone: tuple[dict[str, Any], Path]
) -> None:
    wanted = config | {"out": tmp_path / "two"}
    hosts = two_hosts()
    first = begin(shared_colour_arrays, wanted, hosts, 0)
    second = begin(shared_colour_arrays, wanted | {"kill_at": [3, 2 * 16]}, hosts, 1)
    errors = first.communicate(timeout=600)[1]
    second.communicate(timeout=600)
    assert second.returncode == -signal.SIGKILL
    assert first.returncode != 0
    assert "Host 1 of 2 is gone" in errors
    assert "--resume" in errors
    done = len((tmp_path / "two/history.csv").read_text().splitlines()) - 1
    assert done == 2

    hosts = two_hosts()
    both = [begin(shared_colour_arrays, wanted | {"resume": True}, hosts, index) for index in (0, 1)]
    (mine,), (other,) = (ended(process) for process in both)
    for ours, theirs in zip(mine["history"], other["history"], strict=True):
        assert {k: ours[k] for k in ("loss", "val_loss", "accuracy")} == {
            k: theirs[k] for k in ("loss", "val_loss", "accuracy")
        }
    check_alike(alone[0], mine, alone[1], tmp_path / "two")


def two_hosts() -> str:
    """Return the addresses of two hosts that are both this machine."""
    port = free_port()
    return f"127.0.0.1:{port},127.0.0.1:{port}"


def test_a_host_that_fails_ends_the_others_at_once(shared_colour_arrays: Path, tmp_path: Path) -> None:
    """Host 0 finds the run folder taken; nobody waits for anybody."""
    needs("jax")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/letter.txt").write_text("not a run")
    hosts = two_hosts()
    both = [begin(shared_colour_arrays, CONFIG | {"out": tmp_path / "run"}, hosts, index) for index in (0, 1)]
    errors = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode != 0 for process in both] == [True, True]
    assert "holds something that is not part of a run (letter.txt)" in errors[0]
    assert "Host 0 of 2 is gone" in errors[1]
    assert "Check failure stack trace" not in "".join(errors)
