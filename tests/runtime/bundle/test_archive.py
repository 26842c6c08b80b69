"""The zip of a bundle, byte for byte: nothing in it can be changed, and nothing unpacks without bounds."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundles import answers, npy, tiny, write

from asl_edge.errors import ModelError
from asl_edge.runtime.bundle.archive import Archive, write_archive
from asl_edge.runtime.bundle.detection import MANIFEST, is_bundle
from asl_edge.runtime.bundle.golden_test import verify_bundle
from asl_edge.runtime.bundle.reader import Bundle
from asl_edge.runtime.predictor import Predictor

OLD = Path(__file__).parents[2] / "fixtures" / "v0_1_dev" / "model.aslz"


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def as_asl_edge_writes(path: Path, members: dict[str, bytes]) -> Path:
    with path.open("wb") as file:
        write_archive(file, members)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bundle of one small model, as asl-edge writes it."""
    return as_asl_edge_writes(tmp_path / "b.aslz", members_of(write(tmp_path / "zip", {"fp32": tiny()})))


def test_it_is_a_zip_that_others_read(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        with path.open("rb") as file:
            ours = Archive(file)
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: ours.read(name) for name in ours.members
        }
    assert is_bundle(path)
    Bundle(path).check()


def test_the_same_members_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    assert as_asl_edge_writes(tmp_path / "again", members_of(path)).read_bytes() == path.read_bytes()


def test_every_changed_byte_is_refused(path: Path, tmp_path: Path) -> None:
    """Each byte of what only the zip or the manifest holds, and every 23rd of the members', whose SHA-256 is known."""
    whole = path.read_bytes()
    with path.open("rb") as file:
        members = Archive(file).members.values()
    inside = {
        place
        for member in members
        if member.name != MANIFEST
        for place in range(member.begin, member.begin + member.size)
        if place % 23
    }
    changed = tmp_path / "changed.aslz"
    accepted = []
    for place in set(range(len(whole))) - inside:
        content = bytearray(whole)
        content[place] ^= (1 << place % 8, 0xFF, 1 + place % 255)[place % 3]
        changed.write_bytes(content)
        try:
            Bundle(changed).check()
            accepted.append(place)
        except ModelError:
            continue
    assert not accepted


def test_a_byte_more_or_less_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    changed = tmp_path / "changed.aslz"
    for content in (whole + b"\0", b"\0" + whole, whole[:-1], whole[1:], whole[:100] + whole[101:], whole + whole):
        changed.write_bytes(content)
        with pytest.raises(ModelError):
            Bundle(changed).check()


def test_a_bundle_of_an_earlier_version_is_read_and_guarded(tmp_path: Path) -> None:
    """It is compressed; what changes nothing in a member, such as unused bits at its end, is refused too."""
    Bundle(OLD).check()
    whole = OLD.read_bytes()
    with OLD.open("rb") as file:
        archive = Archive(file)
    changed = tmp_path / "changed.aslz"
    for member in archive.members.values():
        for place in {member.begin + member.packed_size - 1, member.begin, member.begin - 20}:
            for bit in range(0, 8, 3):
                content = bytearray(whole)
                content[place] ^= 1 << bit
                changed.write_bytes(content)
                with pytest.raises(ModelError):
                    Bundle(changed).check()


def test_predict_checks_what_it_uses(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"Softmax")] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="checksum is wrong"):
        Predictor(path, provider="cpu")


# Bounds ---------------------------------------------------------------------------------------------------------------


def test_a_bundle_that_unpacks_to_gigabytes_is_refused_before(path: Path, tmp_path: Path) -> None:
    members = members_of(path)
    bomb = tmp_path / "bomb.aslz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content + bytes(40_000_000) if name.endswith(".onnx") else content)
    with pytest.raises(ModelError, match="would unpack to .* times its size"):
        Bundle(bomb)


def test_compressed_members_have_a_limit_together(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asl_edge.runtime.bundle import reader

    monkeypatch.setattr(reader, "_LARGEST_PACKED", 1000)
    packed = tmp_path / "packed.aslz"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members_of(path).items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="would unpack to"):
        Bundle(packed)


def test_a_member_whose_size_lies_is_not_unpacked(tmp_path: Path) -> None:
    """The list of members and the member agree on 10 bytes, the data unpacks to 8 million."""
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = raw.compress(bytes(8_000_000)) + raw.flush()
    name = b"big.bin"
    head = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, zlib.crc32(bytes(10)), len(content), 10, len(name), 0)
    local = b"PK\x03\x04" + head + name + content
    central = b"PK\x01\x02" + struct.pack("<H", 788) + head + struct.pack("<3H2I", 0, 0, 0, 0o100644 << 16, 0) + name
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 1, 1, len(central), len(local), 0)
    path = tmp_path / "b.aslz"
    path.write_bytes(local + central + end)
    with path.open("rb") as file:
        archive = Archive(file)
    with pytest.raises(ValueError, match="does not unpack to 10 bytes"):
        archive.read("big.bin")


# Manifest -------------------------------------------------------------------------------------------------------------


def spoiled(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    return write(tmp_path / "b.aslz", {"fp32": tiny()}, change=lambda manifest, _: change(manifest))


WRONG: list[tuple[str, Any]] = [
    *(("tolerance", number) for number in (-1, 2)),
    *(("precision", text) for text in ("", "\x1b[2J", "FP 32", "x" * 40)),
    *(("tolerance", value) for value in ("0.1", None)),
    *((field, 5) for field in ("precision", "target", "file", "answers")),
    *((field, None) for field in ("precision", "file", "answers")),
    ("tolerance", [0.1]),
    ("tolerance", {}),
    ("target", "\x1b[2J"),
    ("target", []),
    ("file", "MODEL_CARD.md"),
    ("file", "models/none.onnx"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_an_entry_of_the_wrong_kind_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    path = spoiled(tmp_path, lambda manifest: manifest["models"][0].update({field: value}))
    with pytest.raises(ModelError) as raised:
        Bundle(path)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1" + "0" * 400])
def test_a_tolerance_that_lets_everything_pass_is_refused(tmp_path: Path, number: str) -> None:
    path = spoiled(tmp_path, lambda manifest: manifest["models"][0].update(tolerance="NUMBER"))
    members = members_of(path)
    members[MANIFEST] = members[MANIFEST].replace(b'"NUMBER"', number.encode())
    with pytest.raises(ModelError, match="is damaged"):
        Bundle(as_asl_edge_writes(tmp_path / "c.aslz", members))


def test_a_tolerance_of_one_does_not_let_other_labels_pass(tmp_path: Path) -> None:
    def other_labels(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        content = npy(np.roll(answers(tiny()), 1, axis=1))
        members["golden/fp32.npy"] = content
        manifest["members"]["golden/fp32.npy"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest["models"][0]["tolerance"] = 1

    path = write(tmp_path / "b.aslz", {"fp32": tiny()}, change=other_labels)
    (result,) = verify_bundle(Bundle(path), provider="cpu", record=False)
    assert not result.passed
    assert "have the label that they had" in result.failures[0]


def test_a_manifest_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = spoiled(tmp_path, lambda manifest: manifest.update(more="NEST"))
    members = members_of(path)
    members[MANIFEST] = members[MANIFEST].replace(b'"NEST"', b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(ModelError, match="nested too deeply"):
        Bundle(as_asl_edge_writes(tmp_path / "c.aslz", members))


def test_a_model_of_another_precision_than_it_says_is_refused(tmp_path: Path) -> None:
    """INT8 under the name of float32 would run without its golden test."""
    path = write(tmp_path / "b.aslz", {"fp32": tiny("int8")})
    with pytest.raises(ModelError, match="is in int8"):
        Predictor(path, provider="cpu", precision="fp32")


def test_a_changed_manifest_of_many_members_names_few(tmp_path: Path) -> None:
    def more(manifest: dict[str, Any]) -> None:
        manifest["members"] |= {f"\x1b[2J{number}": {} for number in range(5000)}

    with pytest.raises(ModelError) as raised:
        Bundle(spoiled(tmp_path, more))
    assert len(str(raised.value)) < 600
    assert "\x1b" not in str(raised.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_a_pipe_in_place_of_the_record_of_golden_tests(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from asl_edge.runtime.bundle import verified

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    os.mkfifo(f"{path}.verified.json")
    assert verified.read(path) == {}


def test_a_record_with_numbers_for_names_is_ignored(path: Path) -> None:
    from asl_edge.runtime.bundle import verified

    Path(f"{path}.verified.json").write_text(json.dumps({"format": 1, "model": [], "machine": 1e300, "failures": 7}))
    assert verified.read(path) == {}
