"""What the tool decides for itself, whatever the environment and HOME say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asl_edge.files.cache_dir import cache_dir
from asl_edge.process.environment import for_importing_keras, variables

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "TF_USE_LEGACY_KERAS": "1",
    "PYTHONOPTIMIZE": "2",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}


def run(arguments: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    unset = ("KERAS_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "KERAS_BACKEND")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **changes}
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, encoding="utf-8", check=False, timeout=120
    )


def test_variables_are_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("ASL_ONE", "1")
    monkeypatch.delenv("ASL_TWO", raising=False)
    with variables(ASL_ONE=None, ASL_TWO="2"):
        assert (os.environ.get("ASL_ONE"), os.environ.get("ASL_TWO")) == (None, "2")
    assert (os.environ.get("ASL_ONE"), os.environ.get("ASL_TWO")) == ("1", None)


def test_keras_and_plots_in_a_hostile_environment(tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = {"floatx": "float16", "epsilon": 0.1, "backend": "theano", "image_data_format": "channels_first"}
    (tmp_path / ".keras/keras.json").write_text(json.dumps(settings))
    code = (
        "import os, sys; from pathlib import Path; from asl_edge.training.compute.backend import load_keras\n"
        "config = load_keras().config\n"
        "print(config.image_data_format(), config.floatx(), config.epsilon(), config.backend())\n"
        "from asl_edge.training.runs.curves import write_curves\n"
        "row = {'epoch': 1, 'loss': 1, 'accuracy': 0, 'val_loss': 1, 'val_accuracy': 0}\n"
        "print(write_curves(Path(sys.argv[1], 'curves.png'), [row], 'a title'))\n"
        "print(os.environ['KERAS_HOME'], os.environ['MPLBACKEND'], os.environ['TF_USE_LEGACY_KERAS'])\n"
        "from keras.src.backend.config import keras_home; print(keras_home())"
    )
    compiled = {"PYTHONOPTIMIZE": "", "PYTHONDONTWRITEBYTECODE": ""}  # else all of TensorFlow is compiled again
    done = run(["-c", code, str(tmp_path)], **HOSTILE | compiled, HOME=str(tmp_path), KERAS_HOME="/proc/nowhere")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "channels_last float32 1e-07 tensorflow",
        "True",
        f"/proc/nowhere {HOSTILE['MPLBACKEND']} 1",
        "/proc/nowhere",  # where downloads of the host program go, and not a folder of ours that is gone
    ]
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert json.loads((tmp_path / ".keras/keras.json").read_text()) == settings


def test_keras_keeps_its_own_folder(tmp_path, monkeypatch):
    from keras.src.backend import config

    monkeypatch.setattr(config, "_KERAS_DIR", "another program's")
    with for_importing_keras():
        pass
    assert config.keras_home() == "another program's"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    with for_importing_keras():
        config._KERAS_DIR = os.environ["KERAS_HOME"]  # as its import does
    assert config.keras_home() == str(tmp_path / ".keras")


def test_a_program_that_uses_keras_otherwise():
    from asl_edge.export.graph.toolchain import load_keras as for_export
    from asl_edge.training.compute.backend import load_keras

    keras = load_keras()
    for load in (load_keras, for_export):
        keras.config.set_image_data_format("channels_first")
        keras.config.set_floatx("float16")
        load()
        assert (keras.config.image_data_format(), keras.config.floatx()) == ("channels_last", "float32")


def test_a_backend_that_keras_does_not_have():
    code = "from asl_edge.training.compute.backend import load_keras; load_keras()"
    done = run(["-c", code], KERAS_BACKEND="theano")
    assert "KERAS_BACKEND=theano is not a backend to train on. Set it to tensorflow, jax, torch" in done.stderr


def test_help_needs_docstrings():
    done = run(["-m", "asl_edge", "predict", "--help"], HOME=os.devnull, **HOSTILE)
    assert done.returncode == 0, done.stderr
    assert "Recognise the letter in images" in done.stdout
    assert "asl-edge predict hand.jpg" in done.stdout


def test_names_in_an_ascii_locale(tmp_path):
    image = ROOT / "tests/fixtures/v0_1_dev/images/far-B-B3.jpg"
    (tmp_path / "hände.jpg").write_bytes(image.read_bytes())
    done = run(["-m", "asl_edge", "predict", str(tmp_path), "--json"], HOME=os.devnull, **HOSTILE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"] == str(tmp_path / "hände.jpg")


def test_a_user_without_a_home():
    code = (
        "import os, pwd; from asl_edge.files.cache_dir import cache_dir\n"
        "try: os.setuid(4321)\n"
        "except Exception as error: raise SystemExit(f'os.setuid: {error!r}')\n"
        "os.environ.pop('HOME'); print(cache_dir('verified'))"
    )
    done = run(["-c", code])
    if "os.setuid" in done.stderr:
        pytest.skip("only root can become somebody else, and in a namespace only users that it knows")
    assert done.stdout.strip() == f"{os.devnull}/asl-edge/verified"


def test_a_cache_where_it_was_put(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir("verified") == tmp_path / "asl-edge/verified"
