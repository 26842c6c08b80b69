"""The same model behind LitServe, with its batching. Run by benchmarks/serving/load.py in an environment with litserve.

python -m benchmarks.serving.litserve_app PORT
"""

from __future__ import annotations

import base64
import sys
from typing import Any

from asl_edge import Predictor

try:
    import litserve
    from litserve import LitAPI
except ImportError:  # it is in the environment that is measured only
    LitAPI = object


class Letters(LitAPI):  # type: ignore[misc]
    """POST /predict: an image in JSON, as base64, to a prediction."""

    def setup(self, device: str) -> None:
        """Open the model."""
        self.predictor = Predictor(provider="cpu")

    def decode_request(self, request: dict[str, str]) -> bytes:
        """Return the image."""
        return base64.b64decode(request["image"])

    def predict(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Classify what has come together."""
        return [prediction.to_dict() for prediction in self.predictor(images)]

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Leave the images as they are."""
        return inputs

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave the predictions as they are."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer."""
        return output


def main() -> None:
    """Serve until stopped."""
    api = Letters(max_batch_size=16, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu").run(port=int(sys.argv[1]), generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
