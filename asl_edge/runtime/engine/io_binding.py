"""Reused input buffers in the memory of a GPU: ONNX Runtime's I/O binding."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.providers import PROVIDERS
from asl_edge.spec import INPUT_NAME

_ON_GPU = ("cuda", "tensorrt")
"""Providers that read NVIDIA's memory, which ONNX Runtime calls the device `cuda` for both."""
_MOST_BUFFERS = 4


class DeviceBuffers:
    """Runs a session on images that it copies into buffers of the device, one for each size of a batch.

    `session.run` would allocate device memory for every batch again. ONNX Runtime copies the outputs back. Calls
    from several threads take turns, since they share the buffers.
    """

    def __init__(self, session: Any, device: str, device_id: int = 0) -> None:
        """Take an `onnxruntime.InferenceSession` and the name of its device (`cuda`; `cpu` for tests)."""
        self._session, self._device, self._device_id = session, device, device_id
        self._buffers: OrderedDict[int, Any] = OrderedDict()
        self._turn = threading.Lock()

    def run(self, names: Sequence[str], feed: Mapping[str, npt.NDArray[np.uint8]]) -> list[npt.NDArray[Any]]:
        """Run the network on images, uint8 (N, S, S, 3), as `session.run` does."""
        with self._turn:
            binding = self._session.io_binding()
            binding.bind_ortvalue_input(INPUT_NAME, self._filled(feed[INPUT_NAME]))
            for name in names:
                binding.bind_output(name, "cpu")
            self._session.run_with_iobinding(binding)
            return list(binding.copy_outputs_to_cpu())

    def _filled(self, images: npt.NDArray[np.uint8]) -> Any:
        """Return the buffer for a batch of that size, filled; the least recently used of too many is dropped."""
        count = len(images)
        if count not in self._buffers:
            make = providers.onnxruntime().OrtValue.ortvalue_from_shape_and_type
            self._buffers[count] = make(list(images.shape), np.uint8, self._device, self._device_id)
            if len(self._buffers) > _MOST_BUFFERS:
                self._buffers.popitem(last=False)
        self._buffers.move_to_end(count)
        self._buffers[count].update_inplace(images)
        return self._buffers[count]


def buffers_for(session: Any, provider: str) -> DeviceBuffers | None:
    """Return buffers on the device of a session's first provider; None if images need not be copied to another memory.

    Args:
        session: an `onnxruntime.InferenceSession`.
        provider: our name of its first provider.
    """
    if provider not in _ON_GPU:
        return None
    settings = session.get_provider_options().get(PROVIDERS[provider].ort_name, {})
    return DeviceBuffers(session, "cuda", int(settings.get("device_id", 0)))
