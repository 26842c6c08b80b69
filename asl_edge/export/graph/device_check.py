"""Whether devices would run an exported graph: they refuse what may cost without end."""

from __future__ import annotations

import re

from asl_edge.errors import ModelError
from asl_edge.runtime.onnx_file.safety import reject_unsafe_model

_NAME = "the exported model"
_NOT_FOR_EXPORTS = re.compile(r"(; it is not run)?\. .*", re.DOTALL)
"""What the device advises, which is of no use to whoever exports."""


def refuse_undeployable(content: bytes) -> None:
    """Raise ModelError where devices would refuse to run an ONNX file with this content."""
    try:
        reject_unsafe_model(content, _NAME)
    except ModelError as error:
        reason = str(error).removeprefix(f"{_NAME} is not run: ").removeprefix(_NAME).strip()
        reason = _NOT_FOR_EXPORTS.sub("", reason)
        raise ModelError(
            f"This network cannot be exported, since a device would refuse to run it: {reason}. Build it from "
            "layers whose cost does not depend on the image (convolutions, pooling, dense layers, normalisation, "
            "activations; not attention with heads, not recurrent layers), or for smaller images."
        ) from error
