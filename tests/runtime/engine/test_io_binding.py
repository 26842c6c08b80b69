"""Buffers on a device give the answers that `session.run` gives; here the device is the CPU, for want of a GPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.runtime.engine import session as sessions
from asl_edge.runtime.engine.io_binding import DeviceBuffers, buffers_for
from asl_edge.runtime.engine.session import open_session
from asl_edge.runtime.predictor import Predictor


@pytest.fixture
def session(colour_model: Path) -> Any:
    return open_session(colour_model, provider="cpu").session


def batches(counts: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for count in counts]


def test_batches_of_many_sizes_again_and_again(session: Any) -> None:
    buffers = DeviceBuffers(session, "cpu")
    for images in batches([1, 7, 1, 7, 2, 3, 4, 5, 6, 1, 7, 32]):
        feed = {"image": images}
        (expected,), (found,) = session.run(["probabilities"], feed), buffers.run(["probabilities"], feed)
        assert np.array_equal(expected, found)


def test_an_answer_stays_when_the_next_is_made(session: Any) -> None:
    buffers, (one, other) = DeviceBuffers(session, "cpu"), batches([3, 3])
    (first,) = buffers.run(["probabilities"], {"image": one})
    kept = first.copy()
    buffers.run(["probabilities"], {"image": other})
    assert np.array_equal(first, kept)


def test_threads_take_turns(session: Any) -> None:
    buffers, images = DeviceBuffers(session, "cpu"), batches([2] * 40)
    expected = [session.run(["probabilities"], {"image": batch})[0] for batch in images]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: buffers.run(["probabilities"], {"image": batch})[0], images))
    assert all(map(np.array_equal, expected, found))


def test_only_sessions_on_a_gpu_of_nvidia_get_them() -> None:
    class OnTheSecondGpu:
        def get_provider_options(self) -> dict[str, dict[str, str]]:
            return {"TensorrtExecutionProvider": {"device_id": "1"}, "CPUExecutionProvider": {}}

    found = buffers_for(OnTheSecondGpu(), "tensorrt")
    assert found is not None
    assert (found._device, found._device_id) == ("cuda", 1)
    assert [buffers_for(OnTheSecondGpu(), name) for name in ("cpu", "openvino", "coreml")] == [None] * 3


def test_a_predictor_with_buffers_answers_as_one_without(colour_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = batches([9])[0]
    with Predictor(colour_model, provider="cpu", batch_size=4) as plain:
        expected = plain.probabilities(images)
    monkeypatch.setattr(sessions, "buffers_for", lambda session, provider: DeviceBuffers(session, "cpu"))
    with Predictor(colour_model, provider="cpu", batch_size=4) as bound:
        assert np.array_equal(bound.probabilities(images), expected)
        assert [answer.label for answer in bound(list(images))] == [
            bound.spec.classes[column] for column in expected.argmax(axis=1)
        ]
