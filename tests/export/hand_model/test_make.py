"""Making a hand model's folder: from a real wheel-like zip with real TFLite networks, without any network access."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories.hand_models import hand_in_crop, palm_outputs

from asl_edge.cli import main
from asl_edge.errors import AslEdgeError, DataError, MissingPackageError, ModelError, ParityError
from asl_edge.export.hand_model import make, wheel
from asl_edge.export.hand_model.make import make_hand_model
from asl_edge.export.hand_model.wheel import Member, Release
from asl_edge.runtime.hand_model.folder import FILES, open_hand_finder

pytestmark = pytest.mark.filterwarnings("ignore")  # of TensorFlow's converter


def tflite(side, outputs):
    """A TFLite network in float16 with constant outputs, to which the image's mean adds a little."""
    import tensorflow as tf

    class Network(tf.Module):  # type: ignore[misc]
        def __init__(self):
            super().__init__()
            # As a variable, so that the converter makes a tensor in float16 and DEQUANTIZE of it.
            self.kernel = tf.Variable(np.full((1, 1, 3, 64), 1e-4, np.float32))

        @tf.function(input_signature=[tf.TensorSpec((1, side, side, 3), tf.float32)])
        def __call__(self, image):
            mean = tf.reduce_mean(tf.nn.conv2d(image[:, ::16, ::16], self.kernel, 1, "VALID"))
            return [value + mean for value in outputs]

    network = Network()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.__call__.get_concrete_function()], network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


@pytest.fixture(scope="module")
def networks():
    """The content of two TFLite networks."""
    pytest.importorskip("tensorflow")
    one = np.ones((1, 1), np.float32)
    return tflite(192, palm_outputs()), tflite(224, (hand_in_crop()[None], one, 0 * one, np.zeros((1, 63), np.float32)))


@pytest.fixture
def release(tmp_path, networks):
    """A wheel `some.whl` in `tmp_path`, and what is expected of it."""
    return packed(tmp_path / "some.whl", *networks)


def packed(path, palm, hand, dist_info="a.dist-info"):
    files = {"a/palm.tflite": palm, "a/hand.tflite": hand, f"{dist_info}/LICENSE": b"Apache License\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    members = [Member(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()]
    return Release("mediapipe==0.0.1", hashlib.sha256(path.read_bytes()).hexdigest(), "any", "3.11", *members)


def test_the_folder_holds_what_the_device_needs(tmp_path, release):
    report = make_hand_model(tmp_path / "out", wheel=str(tmp_path / "some.whl"), release=release)
    assert report.compared == 8
    assert report.largest_difference < 1e-3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    assert (tmp_path / "out" / "LICENSE").read_bytes() == b"Apache License\n"
    notice = (tmp_path / "out" / "NOTICE").read_text()
    assert "mediapipe==0.0.1" in notice
    assert "Changed:" in notice
    about = json.loads((tmp_path / "out" / "hand-model.json").read_text())
    assert about["sha256_of_sources"]["a/palm.tflite"] == release.palm.sha256
    hand = open_hand_finder(tmp_path / "out").find(np.full((192, 192, 3), 128, np.uint8))
    assert hand.left == pytest.approx(1, abs=0.1)


def test_an_earlier_folder_is_not_replaced_unasked(tmp_path):
    release = packed(tmp_path / "some.whl", b"palm", b"hand")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "palm.onnx").write_bytes(b"earlier")
    with pytest.raises(DataError, match="--overwrite"):
        make_hand_model(tmp_path / "out", wheel=str(tmp_path / "some.whl"), release=release)
    assert (tmp_path / "out" / "palm.onnx").read_bytes() == b"earlier"


def nothing_written(tmp_path):
    return not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "cannot be read"),
        ("not a zip", "is not a wheel"),
        ("without the network", "holds no a/hand.tflite"),
        ("another network", "SHA-256 differs"),
        ("another size", "SHA-256 differs"),
    ],
)
def test_another_wheel_is_refused(tmp_path, how, message):
    path = tmp_path / "some.whl"
    expected = packed(path, b"palm", b"hand")
    if how == "missing":
        path.unlink()
    elif how == "not a zip":
        path.write_bytes(b"hello")
    elif how == "without the network":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/palm.tflite", b"palm")
    else:
        packed(path, b"palm", b"HAND" if how == "another network" else b"a longer one")
    with pytest.raises(DataError, match=message):
        make_hand_model(tmp_path / "out", wheel=str(path), release=expected)
    assert nothing_written(tmp_path)


def test_what_is_no_network_is_not_converted(tmp_path):
    pytest.importorskip("tensorflow")
    expected = packed(tmp_path / "some.whl", b"palm" * 100, b"hand" * 100)
    with pytest.raises(ModelError, match=r"tf2onnx cannot convert palm.tflite"):
        make_hand_model(tmp_path / "out", wheel=str(tmp_path / "some.whl"), release=expected)
    assert nothing_written(tmp_path)


def test_networks_that_find_other_points_are_not_written(tmp_path, release, monkeypatch):
    monkeypatch.setattr(make, "TOLERANCE", -1.0)
    with pytest.raises(ParityError, match="span away"):
        make_hand_model(tmp_path / "out", wheel=str(tmp_path / "some.whl"), release=release)
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("package", ["tf2onnx", "tensorflow"])
def test_without_the_packages(tmp_path, monkeypatch, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    expected = packed(tmp_path / "some.whl", b"palm", b"hand")
    with pytest.raises(MissingPackageError, match=r"asl-edge\[train\]"):
        make_hand_model(tmp_path / "out", wheel=str(tmp_path / "some.whl"), release=expected)
    assert nothing_written(tmp_path)


@pytest.fixture
def address(tmp_path):
    """The address of `tmp_path`, served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_wheel_from_an_address(tmp_path, address):
    expected = packed(tmp_path / "some.whl", b"palm", b"hand")
    with wheel.opened_wheel(expected, f"{address}/some.whl") as path:
        assert wheel.read_members(path, expected)[expected.palm] == b"palm"
    assert not path.exists()
    with pytest.raises(AslEdgeError, match="cannot be downloaded"), wheel.opened_wheel(expected, f"{address}/no.whl"):
        pass
    with pytest.raises(DataError, match="neither"), wheel.opened_wheel(expected, "ftp://127.0.0.1/some.whl"):
        pass


@pytest.fixture
def index(tmp_path, address, monkeypatch):
    """A package index on this machine, the only one that pip may use, with one wheel of `mediapipe`."""
    name = "mediapipe-0.0.1-cp311-cp311-manylinux_2_28_x86_64.whl"
    folder = tmp_path / "simple" / "mediapipe"
    folder.mkdir(parents=True)
    inner = packed(folder / name, b"palm", b"hand", dist_info="mediapipe-0.0.1.dist-info")
    with zipfile.ZipFile(folder / name, "a") as archive:
        archive.writestr(
            "mediapipe-0.0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.0.1\n"
        )
        archive.writestr("mediapipe-0.0.1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>')
    for variable, value in {
        "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{address}/simple", "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "NO_PROXY": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
    checksum = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return replace(inner, sha256=checksum, platform="manylinux_2_28_x86_64")


def test_pip_fetches_from_the_index_that_is_configured(index):
    pytest.importorskip("pip")
    with wheel.opened_wheel(index, None) as path:
        assert wheel.read_members(path, index)[index.hand] == b"hand"
    assert not path.exists()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"sha256": "0" * 64}, DataError, "SHA-256 differs"),
        (
            {"requirement": "mediapipe==0.0.2"},
            AslEdgeError,
            "no network, or the package index does not have it.*--wheel",
        ),
    ],
)
def test_pip_refuses_or_finds_nothing(index, changes, kind, message):
    pytest.importorskip("pip")
    with pytest.raises(kind, match=message), wheel.opened_wheel(replace(index, **changes), None):
        pass


def test_without_pip(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(_python_without_pip(tmp_path)))
    with (
        pytest.raises(MissingPackageError, match="pip is not in this environment"),
        wheel.opened_wheel(wheel.MEDIAPIPE, None),
    ):
        pass


def _python_without_pip(tmp_path) -> Path:
    """A Python that, as one without pip does, knows no module `pip`."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    script.chmod(0o755)
    return script


def test_the_command_replaces_an_earlier_one_and_prints_the_next_command(tmp_path, release, monkeypatch, capsys):
    monkeypatch.setattr(make, "MEDIAPIPE", release)
    out, given = tmp_path / "my hand", tmp_path / "some.whl"
    out.mkdir()
    (out / "palm.onnx").write_bytes(b"earlier")
    with pytest.raises(SystemExit) as stopped:
        main(["data", "hand-model", "--out", str(out), "--wheel", str(given), "--overwrite", "--json"])
    printed = capsys.readouterr()
    assert stopped.value.code == 0
    assert json.loads(printed.out)["compared"] == 8
    open_hand_finder(out)
    assert f"asl-edge predict IMAGE --hand-model '{tmp_path}/my hand'" in printed.err
