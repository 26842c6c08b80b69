"""Detached signatures: who made a bundle or a model, for people who must know.

A bundle's manifest shows that nothing in it was changed since it was made, but anybody can make a bundle. A signature
shows that it was made by whoever has a private key: Ed25519 (RFC 8032), by the package `cryptography`, over a line
that holds the SHA-256 of the file. The private key is a PEM file (PKCS #8); the public key is one too and may be given
to everybody. `openssl genpkey -algorithm ed25519` makes the same keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import MissingPackageError, ModelError, UserError
from asl_edge.files import atomic
from asl_edge.files.regular_file import open_regular, read_regular
from asl_edge.files.strict_json import parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUFFIX = ".sig"
PUBLIC_SUFFIX = ".pub"
"""Of the public key next to a private one that asl-edge makes."""
FORMAT = 1
ALGORITHM = "ed25519"

_LARGEST = 16_384
"""Most bytes of a key or a signature."""


def signature_path(model: str | os.PathLike[str]) -> Path:
    """Return the path of a file's signature: next to it."""
    return Path(f"{os.fspath(model)}{SUFFIX}")


def make_keys(private: str | os.PathLike[str]) -> Path:
    """Make a private key that only its owner reads, and the public key next to it; return the path of that.

    Raises:
        UserError: one of the files is there already, or cannot be written.
        MissingPackageError: `cryptography` is not installed.
    """
    ed25519, serialization = _ed25519(), _serialization()
    path = Path(private)
    public = Path(f"{path}{PUBLIC_SUFFIX}")
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shared = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, secret, 0o600)  # readable by nobody else from the first moment
    try:
        _write_new(public, shared, 0o666)
    except BaseException:
        path.unlink()  # which nobody has used yet
        raise
    return public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file where there is none, whole or not at all; never over another one.

    Raises:
        UserError: there is something, or it cannot be written.
    """
    written = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            atomic.sync_file(path)
            written = True
        finally:
            if not written:
                path.unlink()
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise UserError(f"{path} is there already. Name another key, or sign with the one that you have.") from None
        raise UserError(f"{path} cannot be written ({error.strerror or error}).") from error


def sign(model: str | os.PathLike[str], private: str | os.PathLike[str]) -> Path:
    """Sign a file, and write the signature next to it.

    Args:
        model: a bundle or an `.onnx` file.
        private: the private key, PEM.

    Returns:
        The path of the signature; an older one is replaced.

    Raises:
        ModelError: the file cannot be read.
        UserError: the key cannot be used, or the signature cannot be written.
        MissingPackageError: `cryptography` is not installed.
    """
    key = _private_key(private)
    digest = sha256_of(model)
    values = {
        "format": FORMAT,
        "algorithm": ALGORITHM,
        "sha256": digest,
        "signature": base64.b64encode(key.sign(_message(digest))).decode("ascii"),
    }
    path = signature_path(model)
    try:
        atomic.write_text(path, json.dumps(values, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}).") from error
    return path


def verify(
    model: str | os.PathLike[str],
    public: str | os.PathLike[str],
    signature: str | os.PathLike[str] | None = None,
) -> None:
    """Check that a file was signed with the private key that belongs to a public one, and was not changed since.

    Args:
        model: a bundle or an `.onnx` file.
        public: the public key, PEM.
        signature: the signature; None for the one next to the file.

    Raises:
        ModelError: it was not, or the file or its signature cannot be read.
        UserError: the key cannot be used.
        MissingPackageError: `cryptography` is not installed.
    """
    key = _public_key(public)
    path = signature_path(model) if signature is None else Path(signature)
    values = _signature(path)
    digest = sha256_of(model)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(values, _message(digest))
    except InvalidSignature:
        raise ModelError(
            f"{os.fspath(model)} is not what {path} signs, or was signed with another key than that of "
            f"{os.fspath(public)}. Do not use it, unless you know why."
        ) from None


def _message(digest: str) -> bytes:
    """Return what is signed; the first words keep it from being a signature of anything else."""
    return f"model signed for asl-edge, sha256 {digest}\n".encode("ascii")


def sha256_of(model: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file to sign, as hexadecimal digits.

    Raises:
        ModelError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(model) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise ModelError(f"{os.fspath(model)} cannot be read ({error.strerror or error}).") from error
    return digest.hexdigest()


def _signature(path: Path) -> bytes:
    """Return the 64 bytes of a signature."""
    try:
        values = parse_json(read_regular(path, _LARGEST))
        if not isinstance(values, dict) or values.get("format") != FORMAT or values.get("algorithm") != ALGORITHM:
            raise ValueError("it is of another format or algorithm")
        text = values.get("signature")
        if not isinstance(text, str):
            raise ValueError("it holds no signature")
        return base64.b64decode(text, validate=True)
    except FileNotFoundError:
        raise ModelError(f"There is no signature {path}. Ask whoever made the file for it.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, binascii.Error) as error:
        raise ModelError(f"{path} is damaged or not a signature ({error}).") from error


def _private_key(path: str | os.PathLike[str]) -> Ed25519PrivateKey:
    ed25519, serialization = _ed25519(), _serialization()
    key = _loaded(path, lambda content: serialization.load_pem_private_key(content, None), "private")
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UserError(f"{os.fspath(path)} is not a private Ed25519 key. Make one: asl-edge sign MODEL --new-key FILE")
    return key


def _public_key(path: str | os.PathLike[str]) -> Ed25519PublicKey:
    ed25519, serialization = _ed25519(), _serialization()
    key = _loaded(path, serialization.load_pem_public_key, "public")
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UserError(f"{os.fspath(path)} is not a public Ed25519 key.")
    return key


def _loaded(path: str | os.PathLike[str], load: Any, kind: str) -> Any:
    name = os.fspath(path)
    content = b""
    try:
        content = read_regular(path, _LARGEST)
        return load(content)
    except OSError as error:
        raise UserError(f"The key {name} cannot be read ({error.strerror or error}).") from error
    except TypeError as error:  # it is encrypted
        raise UserError(f"The key {name} has a password, which asl-edge does not ask for. Use one without.") from error
    except Exception as error:  # ValueError, and UnsupportedAlgorithm, which has no common base with it
        other = "private" if kind == "public" else "public"
        if other.upper().encode() + b" KEY-----" in content:
            raise UserError(
                f"{name} is the {other} key, and the {kind} one is needed here: sign with the private key, verify with "
                f"the public one (FILE{PUBLIC_SUFFIX})."
            ) from error
        raise UserError(f"{name} is not a key in PEM that can be used here.") from error


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingPackageError("Signatures need the package cryptography: pip install 'asl-edge[sign]'") from error
    return ed25519


def _serialization() -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization
