"""Where what was found out about a model on this machine is kept: findings of `tune`, golden tests, engines."""

from __future__ import annotations

import os
from pathlib import Path

from asl_edge.files.cache_dir import absolute, cache_dir, name_in_cache
from asl_edge.files.names import companion
from asl_edge.runtime.pretrained import ships_with_package


def places(model: str | os.PathLike[str], suffix: str, kind: str, cache_suffix: str = ".json") -> tuple[Path, ...]:
    """Return the paths of what is kept for a model, best first: next to it, then in the user's cache.

    For the model that ships with the package there is the cache alone: an installation is not written to, and may
    belong to somebody else.

    Args:
        model: path of an `.onnx` file or a bundle.
        suffix: of the name next to the model.
        kind: folder in the cache, where the name is made from the model's whole path.
        cache_suffix: of the name in the cache.
    """
    path = absolute(model)
    in_cache = cache_dir(kind) / f"{name_in_cache(path)}{cache_suffix}"
    return (in_cache,) if ships_with_package(path) else (companion(path, suffix), in_cache)
