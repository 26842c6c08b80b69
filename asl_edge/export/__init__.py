"""Export: a model becomes one verified `.onnx` file or a bundle. The package itself can be called, as a function.

`help("asl_edge.export.file_or_bundle.export")` shows its arguments.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asl_edge.export.bundle import BundleResult
    from asl_edge.export.export import ExportResult


class _CallablePackage(ModuleType):
    """This package, callable.

    `asl_edge.export(run, "model.onnx")` is the public function, and `asl_edge.export` is also this package: whichever
    module of it is imported first, Python sets that attribute of `asl_edge` to the package. So the package must be the
    function too, or the function would vanish with the first deep import. (PEP 713, which would allow `__call__` in a
    module, was rejected; assigning to `__class__` of a module is documented.)
    """

    def __call__(self, *arguments: Any, **choices: Any) -> ExportResult | BundleResult:
        """Export a model; see `asl_edge.export.file_or_bundle.export`."""
        from asl_edge.export.file_or_bundle import export

        return export(*arguments, **choices)


sys.modules[__name__].__class__ = _CallablePackage
