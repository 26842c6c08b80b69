from __future__ import annotations

import pytest

from asl_edge.runtime.engine import installed_packages


@pytest.mark.parametrize(
    "installed",
    [{"numpy"}, {"onnxruntime", "numpy"}, {"onnxruntime-gpu"}, {"onnxruntime-extensions", "onnxruntime"}],
)
def test_one_runtime_or_none_is_no_clash(installed: set[str]) -> None:
    assert installed_packages.runtime_clash(installed) is None


def test_two_runtimes_clash_and_the_remedy_keeps_the_special_one() -> None:
    clash = installed_packages.runtime_clash({"onnxruntime-gpu", "numpy", "onnxruntime"})

    assert clash is not None
    assert clash.names == ("onnxruntime", "onnxruntime-gpu")
    assert "overwrite each other's files" in clash.problem
    assert clash.remedy.endswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu")


def test_two_opencvs_clash_and_the_remedy_keeps_the_one_with_windows() -> None:
    clash = installed_packages.opencv_clash({"opencv-python-headless", "opencv-python"})

    assert clash is not None
    assert clash.remedy.endswith("&& pip install opencv-python")
    assert installed_packages.opencv_clash({"opencv-python"}) is None


def test_installed_distributions_are_found_without_importing_them() -> None:
    names = installed_packages.installed_names()

    assert {"numpy", "typer", "asl-edge"} <= names
    assert installed_packages.version_of("numpy")
    assert installed_packages.version_of("no-such-distribution") is None
    assert installed_packages.installed_runtimes({"onnxruntime-openvino"}) == ["onnxruntime-openvino"]
