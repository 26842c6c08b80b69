"""Arrays of other people: what NumPy writes is read, everything else is a ValueError, and nothing is evaluated."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.errors import ModelError
from asl_edge.files.npy import map_npy, parse_npy, read_npz
from asl_edge.runtime.adaptation import Adaptation


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version, allow_pickle=True)
    return file.getvalue()


def with_header(header: str, numbers: bytes = b"", version: int = 1) -> bytes:
    coded = header.encode("latin-1")
    length = struct.pack("<H" if version == 1 else "<I", len(coded))
    return b"\x93NUMPY" + bytes([version, 0]) + length + coded + numbers


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|u1", "<i8", "|b1", "<U7", "<f2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_what_numpy_writes_is_read(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(24)[: max(1, int(np.prod(shape)))].astype(dtype)
    array = np.resize(array, shape) if np.prod(shape) else np.empty(shape, dtype)
    for version in (None, (1, 0), (2, 0)):
        for order in ("C", "F"):
            content = npy(np.asarray(array, order=order), version)
            path = tmp_path / "a.npy"
            path.write_bytes(content)
            for read in (parse_npy(content), *([] if array.dtype.kind == "U" else [map_npy(path)])):
                assert read.dtype == array.dtype
                np.testing.assert_array_equal(read, array)


BAD = [
    b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00" + bytes(10), npy(np.zeros(4))[:-1], npy(np.zeros(4)) + b"x",
    npy(np.array([{}], object)), npy(np.zeros(2, [("a", "f4")])),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999, 9), }"),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 400 + ",), }"),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 70 + "), }", b"\0" * 4),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4" ),
    with_header("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", b"\0" * 3),
    with_header("{'descr': '<f4', 'fortran_order': __import__('os').abort(), 'shape': (1,), }"),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 180 + "x), }"),
    with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, , 1), }", b"\0" * 4),
    with_header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", b"\0\0\x11\0"),
    with_header("{'descr': '>U1', 'fortran_order': False, 'shape': (), }", b"\0\x11\0\0"),
    with_header("(" * 3000), with_header("0" * 50_000), with_header("x" * 5000, version=2),
    b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{",
]  # fmt: skip


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_what_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_npy(content)
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    if not content.endswith(b"x"):  # a file may be longer than its array
        with pytest.raises(ValueError):
            map_npy(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_is_anything_but_a_value_error(data: st.DataObject) -> None:
    content = bytearray(npy(np.arange(6, dtype=np.float32).reshape(2, 3)))
    for place in data.draw(st.lists(st.integers(0, 127), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    reason = "read"
    try:
        parse_npy(bytes(content))
    except ValueError as error:
        reason = str(error)
    assert reason


# Several in a zip -----------------------------------------------------------------------------------------------------

ARRAYS = {
    "format": np.array(1), "classes": np.array(["A", "B"]), "weights": np.ones((3, 2), np.float32),
    "bias": np.zeros(2, np.float32), "temperature": np.array(1.5), "network_id": np.array("abc"),
}  # fmt: skip


def write_npz(path: Path, arrays: dict[str, object], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", array if isinstance(array, bytes) else npy(array))
    return path


def test_an_adaptation_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    loaded = Adaptation.load(tmp_path / "a.npz")
    assert (loaded.classes, loaded.weights.shape, loaded.temperature, loaded.network_id) == (
        ("A", "B"),
        (3, 2),
        1.5,
        "abc",
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"format": np.array("x")}, {"format": np.array([1, 2])}, {"format": np.array(np.nan)},
        {"temperature": np.array(np.nan)}, {"temperature": np.array(1e-300)}, {"temperature": np.array([1.0, 2.0])},
        {"temperature": np.array(0.0)}, {"temperature": np.array("1")}, {"temperature": np.array(1e300)},
        {"weights": np.full((3, 2), np.nan, np.float32)}, {"weights": np.zeros((2, 2, 2))}, {"weights": np.zeros(3)},
        {"weights": np.full((3, 2), 1e300)}, {"weights": np.array([["a", "b"]])}, {"bias": np.zeros(0, np.float32)},
        {"classes": np.array(5)}, {"classes": np.array(["A"] * 3)}, {"network_id": np.array(["a", "b"])},
        {"weights": b"damaged"}, {"weights": npy(np.zeros((3, 2)))[:-9]}, {"more": np.zeros(2)},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_an_adaptation_that_is_none_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    path = write_npz(tmp_path / "a.npz", ARRAYS | changed)
    with pytest.raises(ModelError, match="a.npz"):
        Adaptation.load(path)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before(tmp_path: Path) -> None:
    bomb = npy(np.zeros(1, np.float32))[:128] + bytes(100_000_000)
    path = write_npz(tmp_path / "a.npz", ARRAYS | {"weights": bomb})
    assert path.stat().st_size < 200_000
    with pytest.raises(ModelError, match="an array has 100 MB, 64 at most"):
        Adaptation.load(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_refused_however_it_is_packed(tmp_path: Path, method: int) -> None:
    path = write_npz(tmp_path / "a.npz", ARRAYS, method)
    whole = path.read_bytes()
    assert len(read_npz(path, dict.fromkeys(ARRAYS, 10_000), 10**6)) == 6
    refused = 0
    for place in range(30, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read_npz(path, dict.fromkeys(ARRAYS, 10_000), 10**6)
        except ValueError:
            refused += 1
    assert refused


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_a_pipe_in_place_of_an_adaptation_or_array_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "a.npz"
    os.mkfifo(pipe)
    with pytest.raises(ModelError, match="a pipe"):
        Adaptation.load(pipe)
    with pytest.raises(OSError, match="a pipe"):
        map_npy(pipe)
