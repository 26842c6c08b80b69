"""Pointers of Git LFS in the place of files: whatever reads them says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import AslEdgeError
from asl_edge.files.git_lfs import is_pointer, is_pointer_file
from asl_edge.imaging.preprocess import load
from asl_edge.runtime.onnx_file.metadata import read_spec

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 7700000\n"


@pytest.mark.parametrize("content", [POINTER, memoryview(POINTER)])
def test_what_is_one(content: bytes | memoryview) -> None:
    assert is_pointer(content)
    assert not is_pointer(content[1:])
    assert not is_pointer(b"")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_pointer_file(tmp_path / "pipe")
    assert not is_pointer_file(tmp_path)
    assert not is_pointer_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("hand.jpg", lambda path: load(path, 32)),
        ("model.onnx", read_spec),
        ("train_set.npy", lambda path: PreparedArrays.open(path.parent)),
    ],
)
def test_readers_name_them(name: str, read, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(POINTER)
    (tmp_path / "train_classes.npy").write_bytes(POINTER)
    with pytest.raises(AslEdgeError, match="pointer of Git LFS.*git lfs pull"):
        read(tmp_path / name)
