"""What to install where a library of the system is missing."""

from __future__ import annotations

import pytest

from asl_edge.process.shared_libraries import remedy_for


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("libGL.so.1", "sudo apt install libgl1 libglib2.0-0, or use opencv-python-headless instead"),
        ("libgthread-2.0.so.0", "sudo apt install libglib2.0-0"),
        ("libgomp.so.1", "sudo apt install libgomp1"),
        ("libcudnn.so.9", "pip install 'asl-edge[gpu]'"),
        ("libcublasLt.so.12", "pip install 'asl-edge[gpu]'"),
        ("libnvinfer.so.10", "pip install 'asl-edge[gpu]'"),
        ("libwobble.so.3", "the system's package that brings libwobble.so.3"),
    ],
)
def test_the_package_is_named(library: str, packages: str) -> None:
    remedy = remedy_for(f"{library}: cannot open shared object file: No such file or directory")
    assert remedy is not None
    assert packages in remedy


@pytest.mark.parametrize("message", ["No module named 'cv2'", "numpy.core.multiarray failed to import", ""])
def test_other_messages_have_no_library(message: str) -> None:
    assert remedy_for(message) is None
