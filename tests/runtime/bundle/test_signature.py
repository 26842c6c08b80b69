"""Signatures: what is signed with a key is known by the public one, and nothing else is."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundles import write

from asl_edge.cli import main
from asl_edge.errors import MissingPackageError, ModelError, UserError
from asl_edge.runtime.bundle import signature


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    return tmp_path / "my.key", signature.make_keys(tmp_path / "my.key")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "m.aslz")


def test_a_signed_file_is_verified(model: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    path = signature.sign(model, private)
    assert path == Path(f"{model}.sig")
    signature.verify(model, public)
    moved = path.rename(path.with_name("elsewhere"))
    signature.verify(model, public, moved)
    with pytest.raises(ModelError, match="There is no signature"):
        signature.verify(model, public)


def test_a_change_of_either_is_refused(model: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    path = signature.sign(model, private)
    signed, whole = json.loads(path.read_text()), model.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        model.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelError, match="is not what"):
            signature.verify(model, public)
    model.write_bytes(whole)
    changes = ({"format": 2}, {"signature": "x"}, {"signature": "AAAA"}, {"signature": 5}, {"algorithm": "none"})
    for spoiled in ("", "[]", "{}", "[" * 9999, *(json.dumps(signed | change) for change in changes)):
        path.write_text(spoiled)
        with pytest.raises(ModelError):
            signature.verify(model, public)


def test_another_key_is_refused(model: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    signature.sign(model, keys[0])
    other = signature.make_keys(tmp_path / "other.key")
    with pytest.raises(ModelError, match="another key"):
        signature.verify(model, other)


def test_keys_are_private_and_never_replaced(keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    if os.name == "posix":
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    with pytest.raises(UserError, match="there already"):
        signature.make_keys(private)
    public.unlink()
    with pytest.raises(UserError, match="there already"):
        signature.make_keys(private)
    assert private.read_bytes() == before
    assert not public.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="without limits of that kind")
def test_both_keys_are_written_or_neither(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    import resource

    in_the_way = Path(tmp_path / "my.key.pub")
    in_the_way.write_text("somebody's")
    with pytest.raises(UserError, match=r"my\.key\.pub is there already"):
        signature.make_keys(tmp_path / "my.key")
    with pytest.raises(UserError, match=r"cannot be written \(File name too long\)"):
        signature.make_keys(tmp_path / ("n" * 252))  # one that fits by itself, and not with .pub
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as a disk that is full after 100 bytes
    try:
        with pytest.raises(UserError, match="cannot be written"):
            signature.make_keys(tmp_path / "full.key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == [in_the_way]
    assert in_the_way.read_text() == "somebody's"


def test_what_is_no_key_says_so(model: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    text = tmp_path / "text"
    text.write_text("hello")
    with pytest.raises(UserError, match="not a key in PEM"):
        signature.sign(model, text)
    with pytest.raises(UserError, match="is the public key, and the private one is needed"):
        signature.sign(model, public)
    with pytest.raises(UserError, match="cannot be read"):
        signature.verify(model, tmp_path / "none")
    with pytest.raises(UserError, match="is the private key, and the public one is needed"):
        signature.verify(model, private)


def test_openssl_s_keys_work(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    private, public = tmp_path / "p.pem", tmp_path / "p.pub"
    try:
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True
        )
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this machine's openssl does not know Ed25519")
    signature.sign(model, private)
    signature.verify(model, public)


def test_the_commands(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")

    def run(*words: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return int(ended.value.code or 0)

    key = tmp_path / "my.key"
    assert run("sign", tmp_path / "none", "--new-key", key) == 2
    assert not key.exists()
    assert run("sign", model, "--new-key", key) == 0
    assert run("verify", model, "--key", f"{key}.pub", "--provider", "cpu") == 0
    assert "was signed with the private key" in capsys.readouterr().out
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(b"no bundle")
    assert run("sign", alone, "--key", key) == 0
    capsys.readouterr()
    assert run("verify", alone, "--key", f"{key}.pub", "--json") == 0
    assert json.loads(capsys.readouterr().out)["signed_with"] == f"{key}.pub"
    assert run("sign", tmp_path / "none.aslz", "--new-key", tmp_path / "other.key") == 2
    assert not list(tmp_path.glob("other.key*")), "a key is only made for a file that can be signed"
    assert run("sign", model) == 2
    assert run("sign", model, "--key", f"{key}.pub") == 2
    model.write_bytes(write(tmp_path / "other", None).read_bytes() + b"x")
    assert run("verify", model, "--key", f"{key}.pub") == 2
    assert "is not what" in capsys.readouterr().err


def test_without_the_package_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(MissingPackageError, match=r"asl-edge\[sign\]"):
        signature.verify(model, tmp_path / "key")
