from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.errors import UserError
from asl_edge.runtime import machine
from asl_edge.runtime.predict import PredictConfig, SourcePlan, plan_sources, predict_sources
from asl_edge.runtime.streams import sources as source_kinds
from asl_edge.runtime.streams.sinks import JsonLinesSink
from asl_edge.runtime.streams.video_sinks import VideoFileSink


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        image = np.zeros((20, 20, 3), np.uint8)
        image[..., number % 3] = 255
        cv2.imwrite(str(folder / f"{number}.png"), image)
    (folder / "3.png").write_bytes(b"broken")
    return folder


def test_everything_is_counted(colour_model: Path, images: Path) -> None:
    out, notices = io.StringIO(), []
    summary = predict_sources(
        [images, "-"],
        [JsonLinesSink(out)],
        model=colour_model,
        config=PredictConfig(batch_size=2),
        standard_input=io.StringIO(f"{images / '0.png'}\n"),
        on_skip=lambda source, reason: notices.append((source, reason)),
        provider="cpu",
    )

    assert summary.classified == len(out.getvalue().splitlines()) == 5
    assert summary.skipped == notices == [(str(images / "3.png"), notices[0][1])]
    assert summary.mean_ms > 0
    assert summary.not_sure == 0
    assert (summary.providers_used, summary.workers) == (("cpu",), 1)


def test_unsure_answers_are_counted(tmp_path: Path, images: Path, make_colour_model: Callable[..., None]) -> None:
    model = tmp_path / "m.onnx"
    make_colour_model(model, {"reject_threshold": 0.99}, scale=1.0)

    summary = predict_sources(images / "0.png", [], model=model)
    assert (summary.classified, summary.not_sure) == (1, 1)
    assert predict_sources(images / "0.png", [], model=model, config=PredictConfig(threshold=0)).not_sure == 0
    assert predict_sources([], [], model=model).mean_ms == 0


def test_the_config_reaches_every_prediction(colour_model: Path, images: Path) -> None:
    out = io.StringIO()
    predict_sources(str(images / "0.png"), [JsonLinesSink(out)], model=colour_model, config=PredictConfig(top_k=2))
    assert len(json.loads(out.getvalue())["top"]) == 2
    with pytest.raises(UserError, match="top_k must be 1 or more"):
        predict_sources(images, [], model=colour_model, config=PredictConfig(top_k=0))
    with pytest.raises(TypeError, match="framing"):
        predict_sources(images, [], model=colour_model, framing=False)  # type: ignore[call-arg]


def test_workers_that_are_named_count_otherwise_the_sources_decide(
    colour_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "fast_cores", lambda: 4)
    small = PredictConfig(batch_size=2)
    assert predict_sources(images, [], model=colour_model, config=small, provider="cpu").workers == 3
    assert predict_sources(images, [], model=colour_model, config=small, provider="cpu", workers=2).workers == 2


def test_a_closed_window_ends_it(colour_model: Path, images: Path) -> None:
    from asl_edge.runtime.streams.video_sinks import WindowSink

    window = WindowSink.__new__(WindowSink)  # one that was closed already; there is no display here
    window.closed = True

    assert predict_sources(images, [window], model=colour_model).classified == 1


def _through_a_folder(video: Path) -> tuple[str, str]:
    Path("folder").mkdir()
    return video.name, f"folder/../{video.name}"


def _link(video: Path) -> tuple[str, str]:
    Path("other.avi").symlink_to(video)
    return video.name, "other.avi"


def _hard_link(video: Path) -> tuple[str, str]:
    Path("other.avi").hardlink_to(video)
    return video.name, "other.avi"


def _source_is_a_link(video: Path) -> tuple[str, str]:
    Path("other.avi").symlink_to(video)
    return "other.avi", video.name


@pytest.mark.parametrize(
    "source_and_out",
    [
        pytest.param(lambda video: (video.name, video.name), id="same"),
        pytest.param(_through_a_folder, id="through a folder"),
        pytest.param(_link, id="link"),
        pytest.param(_hard_link, id="hard link"),
        pytest.param(_source_is_a_link, id="source is a link"),
        pytest.param(lambda video: (f"{video.name[0]}*.avi", video.name), id="pattern"),
        pytest.param(lambda video: (f"file://{video}", video.name), id="url"),
    ],
)
def test_a_source_is_never_replaced(
    colour_model: Path, video: Path, monkeypatch: pytest.MonkeyPatch, source_and_out: Callable[[Path], tuple[str, str]]
) -> None:
    monkeypatch.chdir(video.parent)
    source, out = source_and_out(video)
    before = video.read_bytes()

    with (
        pytest.raises(UserError, match="is the same file as the source .* Name another file with --save"),
        VideoFileSink(out) as sink,
    ):
        predict_sources(["missing.jpg", source], [sink], model=colour_model)
    assert video.read_bytes() == before


def test_a_video_file_plays_as_fast_as_its_source(colour_model: Path, video: Path, tmp_path: Path) -> None:
    with VideoFileSink(tmp_path / "out.mp4") as sink:
        predict_sources(video, [sink], model=colour_model)

    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(10)


class TestPlanSources:
    def test_expected_is_the_number_of_images_where_it_is_known(self, tmp_path: Path) -> None:
        assert plan_sources(["a.jpg", "b.jpg"]).expected == 2
        assert plan_sources(["a.jpg"] * 17).expected == 17
        for many in ("-", "*.jpg", "0", "clip.mp4", str(tmp_path)):
            assert plan_sources(["a.jpg", many]).expected is None

    def test_the_batch_size_is_1_where_somebody_waits(self) -> None:
        assert plan_sources(["a.jpg", "folder"]).batch_size == 16
        assert plan_sources(["a.jpg", "folder"], batch_size=7).batch_size == 7
        assert plan_sources(["a.jpg", "-"]).batch_size == 1
        assert plan_sources(["0"]).batch_size == 1
        assert plan_sources(["clip.mp4"]).batch_size == 16
        assert plan_sources(["clip.mp4"], shown=True).batch_size == 1

    def test_workers_follow_cores_and_batches(
        self, tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "fast_cores", lambda: 4)
        for number in range(100):
            (tmp_path / "many" / f"{number}.jpg").parent.mkdir(exist_ok=True)
            (tmp_path / "many" / f"{number}.jpg").touch()

        def workers(sources: list[str], batch_size: int, threads: int | None = None) -> int:
            return plan_sources(sources, batch_size=batch_size, threads=threads).workers

        many = str(tmp_path / "many")
        assert workers([many], 16) == 4
        assert workers([many], 16, 2) == 2
        assert workers([many], 16, 16) == 1
        assert workers([many], 64) == 2, "no more than there are batches"
        assert workers([many], 1) == 1
        assert workers([f"{many}/9*.jpg"], 16) == 1
        assert workers(["a.jpg"] * 17, 16) == 2
        for live in ("-", "0", "clip.mp4"):
            assert workers([many, live], 16) == 1
        assert workers([f"{video.parent}/*{video.suffix}"], 16) == 1, "frames are large"

    @pytest.mark.parametrize("cores", [1, 2, 64])
    def test_no_item_is_lost_and_a_folder_is_listed_once(
        self, images: Path, video: Path, cores: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "fast_cores", lambda: cores)
        sources = [str(images), "missing.jpg", f"{video.parent}/*{video.suffix}"]
        whole = [(item.source, item.frame, item.problem) for item in source_kinds.items(sources)]
        listed: list[str] = []
        real = os.scandir
        monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or real(folder))

        plan: SourcePlan = plan_sources(sources, batch_size=2)

        assert [(item.source, item.frame, item.problem) for item in plan.items] == whole
        assert listed.count(str(images)) == 1
