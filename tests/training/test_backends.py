"""The same training on TensorFlow, JAX and PyTorch, on several devices, and on several hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from free_port import free_port

from asl_edge.export.export import export_run

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


def begin(arrays: Path, out: Path, config: dict[str, Any], *hosts: object, **environment: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(SCRIPT), str(arrays), str(out), json.dumps(config), *map(str, hosts)]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SCRIPT.parents[1:3])), **environment},
    )
    PROCESSES.append(process)
    return process


def ended(process: subprocess.Popen[str], seconds: float = 600) -> dict[str, Any]:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    values: dict[str, Any] = json.loads(out.splitlines()[-1])
    return values


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
    config = CONFIG | {"ema_momentum": 0.5, "accumulate": 2, "clip_norm": 5.0, "epochs": 8, "balance_classes": True}
    result = ended(begin(shared_colour_arrays, tmp_path / "run", config, KERAS_BACKEND=backend))
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
    whole = ended(begin(shared_colour_arrays, tmp_path / "whole", config | {"epochs": 4}, **environment))
    stop = {"epochs": 2, "stop_at": [2, 2 * 16]}
    stopped = ended(begin(shared_colour_arrays, tmp_path / "run", config | stop, **environment))
    assert stopped == {"stopped_at": stop["stop_at"]}
    more = {"epochs": 4, "resume": True}
    resumed = ended(begin(shared_colour_arrays, tmp_path / "run", config | more, **environment))
    for ours, theirs in zip(resumed["history"], whole["history"], strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert ours[name] == theirs[name]
    for mine, other in zip(weights_of(tmp_path / "run"), weights_of(tmp_path / "whole"), strict=True):
        assert np.array_equal(mine, other)


@pytest.fixture(scope="module")
def alone(shared_colour_arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The result of a training with JAX on one device, and its run folder."""
    needs("jax")
    run = tmp_path_factory.mktemp("alone") / "one"
    return ended(begin(shared_colour_arrays, run, CONFIG, KERAS_BACKEND="jax")), run


def test_two_devices_of_one_host_train_as_one(
    shared_colour_arrays: Path, tmp_path: Path, alone: tuple[dict[str, Any], Path]
) -> None:
    flags = "--xla_force_host_platform_device_count=2"
    two = begin(shared_colour_arrays, tmp_path / "two", CONFIG, KERAS_BACKEND="jax", XLA_FLAGS=flags)
    check_alike(alone[0], ended(two), alone[1], tmp_path / "two")
    odd = begin(
        shared_colour_arrays, tmp_path / "odd", CONFIG | {"batch_size": 15}, KERAS_BACKEND="jax", XLA_FLAGS=flags
    )
    assert "cannot be shared evenly among 2 devices" in odd.communicate(timeout=600)[1]


def test_two_devices_of_one_host_train_as_one_with_tensorflow(shared_colour_arrays: Path, tmp_path: Path) -> None:
    """MirroredStrategy on two logical CPUs; without dropout, which each device draws for itself."""
    config = CONFIG | {"dropout_scale": 0.0, "augmentation": "none", "ema_momentum": 0.9}
    one = begin(shared_colour_arrays, tmp_path / "one", config)
    two = begin(shared_colour_arrays, tmp_path / "two", config, LOGICAL_CPUS="2")
    check_alike(ended(one), ended(two), tmp_path / "one", tmp_path / "two")


def check_alike(ours: dict[str, Any], theirs: dict[str, Any], our_run: Path, their_run: Path) -> None:
    for one, two in zip(ours["history"], theirs["history"], strict=True):
        for name in ("loss", "val_loss"):
            assert one[name] == pytest.approx(two[name], rel=2e-4)
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=1e-6)
    for one, two in zip(weights_of(our_run), weights_of(their_run), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-4)


def test_two_hosts_train_as_one_and_go_on_after_one_was_killed(
    shared_colour_arrays: Path, tmp_path: Path, alone: tuple[dict[str, Any], Path]
) -> None:
    port = free_port()
    hosts = f"127.0.0.1:{port},127.0.0.1:{port}"
    both = [begin(shared_colour_arrays, tmp_path / "two", CONFIG, hosts, index) for index in (0, 1)]
    first, second = (ended(process) for process in both)
    for mine, others in zip(first["history"], second["history"], strict=True):
        assert {k: mine[k] for k in ("loss", "val_loss", "accuracy")} == {
            k: others[k] for k in ("loss", "val_loss", "accuracy")
        }
    check_alike(alone[0], first, alone[1], tmp_path / "two")

    port = free_port()
    hosts = f"127.0.0.1:{port},127.0.0.1:{port}"
    longer = CONFIG | {"epochs": 4000, "recipe": "tutorial"}
    both = [begin(shared_colour_arrays, tmp_path / "killed", longer, hosts, index) for index in (0, 1)]
    deadline = time.monotonic() + 600
    while not (tmp_path / "killed/best.keras").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    both[1].kill()
    errors = both[0].communicate(timeout=600)[1]
    assert both[0].returncode != 0
    assert "Host 1 of 2 is gone" in errors
    assert "--resume" in errors
    both[1].communicate()

    done = len((tmp_path / "killed/history.csv").read_text().splitlines()) - 1
    port = free_port()
    hosts = f"127.0.0.1:{port},127.0.0.1:{port}"
    more = longer | {"epochs": done + 2, "resume": True}
    both = [begin(shared_colour_arrays, tmp_path / "killed", more, hosts, index) for index in (0, 1)]
    assert [len(ended(process)["history"]) for process in both] == [done + 2, done + 2]


def test_a_host_that_fails_ends_the_others_at_once(shared_colour_arrays: Path, tmp_path: Path) -> None:
    """Host 0 finds the run folder taken; nobody waits for anybody."""
    needs("jax")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/letter.txt").write_text("not a run")
    port = free_port()
    hosts = f"127.0.0.1:{port},127.0.0.1:{port}"
    both = [begin(shared_colour_arrays, tmp_path / "run", CONFIG, hosts, index) for index in (0, 1)]
    errors = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode != 0 for process in both] == [True, True]
    assert "holds something that is not part of a run (letter.txt)" in errors[0]
    assert "Host 0 of 2 is gone" in errors[1]
    assert "Check failure stack trace" not in "".join(errors)
