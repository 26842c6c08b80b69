"""The device tier in environments that have never heard of the workshop's packages: the oldest and the newest."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import Future
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomllib
from device_environments import OLDEST, Environment

from asl_edge.imaging.preprocess import load
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import resolve

ROOT = Path(__file__).resolve().parents[1]
_CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
DEVICE_TIER: list[str] = _CONTRACTS[0]["source_modules"]
WORKSHOP = ("tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "matplotlib")


@pytest.fixture(scope="module", params=["oldest", "newest"])
def device(request: pytest.FixtureRequest, device_environments: dict[str, Future[Environment | str]]) -> Environment:
    environment = device_environments[request.param].result()
    if isinstance(environment, str):
        pytest.skip(environment)
    return environment


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number, label in enumerate("ABCABC"):
        image = random.integers(0, 60, (50 + number, 70, 3), dtype=np.uint8)
        image[..., 2 - "ABC".index(label)] += 90
        image = cv2.GaussianBlur(image, (0, 0), 2)
        suffix = ("jpg", "png", "bmp", "webp", "tiff", "ppm")[number]
        (folder / label).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / label / f"{label}{number}.{suffix}"), image)
    return folder


@pytest.fixture(scope="module")
def ended(device: Environment, colour_model: Path, images: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """What commands of `asl-edge` gave in that environment, by a name."""
    image, video, model = images / "A" / "A0.jpg", device.folder / "hands.avi", ("--model", colour_model)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(3):
        writer.write(np.full((64, 96, 3), (0, 0, 255), np.uint8))
    writer.release()
    benchmark = ("benchmark", *model, "--batch-size", "1,4", "--rounds", "1", "--runs", "3")
    commands: dict[str, tuple[object, ...]] = {
        "table": ("predict", image, *model),
        "video": ("predict", video, *model, "--csv", "--save", device.folder / "out.avi"),
        "doctor --json": ("doctor", "--json"),
        "doctor": ("doctor",),
        "benchmark": (*benchmark, "--json"),
        "benchmark --plot": (*benchmark, "--plot", device.folder / "p.png"),
        "evaluate": ("evaluate", colour_model, images, "--json"),
        "help": ("--help",),
        "help of predict": ("predict", "--help"),
    }
    return dict(zip(commands, device.run_asl_edge(*commands.values()), strict=True))


def test_the_workshop_is_not_there_and_every_module_of_the_device_tier_imports(device: Environment) -> None:
    code = (
        "import importlib, json, pkgutil\n"
        "from importlib.util import find_spec\n"
        f"assert not [name for name in {WORKSHOP} if find_spec(name)]\n"
        f"for name in {DEVICE_TIER}:\n"
        "    module = importlib.import_module(name)\n"
        "    print(name)\n"
        "    for found in pkgutil.walk_packages(getattr(module, '__path__', []), f'{name}.'):\n"
        "        importlib.import_module(found.name)\n"
        "        print(found.name)\n"
    )
    on_disk = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in DEVICE_TIER
        for path in [ROOT / f"{name.replace('.', '/')}.py", *(ROOT / name.replace(".", "/")).rglob("*.py")]
        if path.is_file()
    }

    assert set(device.run("python", "-W", "error", "-c", code).stdout.split()) == on_disk


def test_predict_gives_the_same_answers(device: Environment, colour_model: Path, images: Path) -> None:
    done = device.run("asl-edge", "predict", images, "--model", colour_model, "--json")

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    here = Predictor(colour_model)([answer["source"] for answer in answers])
    assert [answer["label"] for answer in answers] == list("AABBCC")
    for answer, expected in zip(answers, here, strict=True):
        for found, (label, confidence) in zip(answer["top"], expected.top, strict=True):
            assert found["label"] == label
            assert found["confidence"] == pytest.approx(confidence, abs=2e-3)  # decoders round differently


def test_one_image_gets_the_weights_of_the_models_own_file(device: Environment, images: Path) -> None:
    """A session for one image leaves them there; an old ONNX Runtime would look for that file where one stands."""
    folder = device.folder / "own"
    folder.mkdir()
    model = Path(shutil.copy(resolve(None), folder / "model.onnx"))
    (device.folder / "model.onnx").write_bytes(np.random.default_rng(0).bytes(model.stat().st_size))

    done = device.run("asl-edge", "predict", images / "A" / "A0.jpg", "--model", model, "--json")

    answer = json.loads(done.stdout)
    (expected,) = Predictor(model)(images / "A" / "A0.jpg")
    assert [label for label, _ in expected.top] == [entry["label"] for entry in answer["top"]]
    assert answer["top"][0]["confidence"] == pytest.approx(expected.confidence, abs=2e-3)


def test_the_table_the_list_and_the_video(
    device: Environment, ended: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    assert ended["table"].stdout.splitlines()[1].startswith("A ")
    assert [line.split(",")[2] for line in ended["video"].stdout.splitlines()] == ["label", "A", "A", "A"]
    assert (device.folder / "out.avi").stat().st_size > 500


def test_doctor(device: Environment, ended: dict[str, subprocess.CompletedProcess[str]]) -> None:
    diagnosis = json.loads(ended["doctor --json"].stdout)

    assert diagnosis["can_predict"] is True
    assert [check["works"] for check in diagnosis["providers"] if check["name"] == "cpu"] == [True]
    assert not [finding for finding in diagnosis["findings"] if "older than" in finding["problem"]]
    assert not any(diagnosis["packages"]["workshop"].values())
    if "oldest" in device.folder.parent.name:
        pins = dict(line.split("==") for line in OLDEST.read_text().splitlines() if "==" in line)
        installed = diagnosis["packages"]["device"]
        assert {name: installed[name] for name in pins} == pins
        assert diagnosis["python"].startswith("3.10.")
    assert "predict works here." in ended["doctor"].stdout


def test_benchmark(ended: dict[str, subprocess.CompletedProcess[str]]) -> None:
    report = json.loads(ended["benchmark"].stdout)
    assert [result["error"] for result in report["results"]] == [None, None]
    refused = ended["benchmark --plot"]
    assert refused.returncode == 2
    assert "pip install 'asl-edge[report]'" in refused.stderr


def test_evaluate(ended: dict[str, subprocess.CompletedProcess[str]]) -> None:
    assert json.loads(ended["evaluate"].stdout)["accuracy"] == 1.0


def test_help_and_what_belongs_to_the_workshop(ended: dict[str, subprocess.CompletedProcess[str]]) -> None:
    for command in ("predict", "benchmark", "doctor", "evaluate", "train", "export"):
        assert command in ended["help"].stdout
    assert "--json" in ended["help of predict"].stdout


def test_every_other_command_ends_well(ended: dict[str, subprocess.CompletedProcess[str]]) -> None:
    assert {name: done.stderr for name, done in ended.items() if done.returncode} == {
        "benchmark --plot": ended["benchmark --plot"].stderr
    }


def test_images_of_every_kind_are_read_alike_or_refused_and_python_gives_the_same_answers(
    device: Environment, colour_model: Path, images: Path, tmp_path: Path
) -> None:
    kinds = write_images_of_every_kind(tmp_path)
    code = (
        "import sys, asl_edge, numpy as np\n"
        "model, image, *kinds = sys.argv[1:]\n"
        "with asl_edge.Predictor(model) as predictor:\n"
        "    print(*(p.answer for p in predictor([image, open(image, 'rb').read()])))\n"
        "from asl_edge.errors import ImageError\n"
        "from asl_edge.imaging.preprocess import load\n"
        "for path in kinds:\n"
        "    try: image = load(path, 48)\n"
        "    except ImageError as error: print(path, error, sep='\\t'); continue\n"
        "    np.save(path + '.npy', image)"
    )
    done = device.run("python", "-c", code, colour_model, images / "B" / "B1.png", *kinds)
    answered, *lines = done.stdout.splitlines()
    assert answered.split() == ["B", "B"]
    refused = dict(line.split("\t") for line in lines)

    for path in kinds:
        if str(path) in refused:
            # Only the newest OpenCV reads these two; that it cannot is all that may be said.
            assert path.suffix in (".gif", ".avif"), refused
            assert "not supported by it" in refused[str(path)]
        else:
            difference = np.abs(np.load(f"{path}.npy").astype(int) - load(path, 48).astype(int))
            assert difference.max() <= 3, path.name


def write_images_of_every_kind(folder: Path) -> list[Path]:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    image = Image.fromarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX))
    turned = Image.Exif()
    turned[274] = 6
    for suffix in ("jpg", "png", "bmp", "gif", "webp", "tiff", "avif", "ppm"):
        image.save(folder / f"plain.{suffix}")
    for suffix in ("jpg", "png", "webp", "tiff"):
        image.save(folder / f"turned.{suffix}", exif=turned)
    image.save(folder / "progressive.jpg", progressive=True)
    image.resize((1800, 2400)).save(folder / "large.jpg")
    for mode, name in (("L", "grey.jpg"), ("CMYK", "cmyk.jpg"), ("RGBA", "rgba.png"), ("P", "palette.png")):
        image.convert(mode).save(folder / name)
    cv2.imwrite(str(folder / "sixteen.png"), np.asarray(image)[..., ::-1].astype(np.uint16) * 257)
    return sorted(folder.iterdir())
