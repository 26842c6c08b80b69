"""`asl-edge sign`: sign a bundle or a model, so that others can check who made it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from asl_edge.errors import UserError


def sign(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle (.aslz) or an exported .onnx file.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Your private Ed25519 key (PEM, without a password).")
    ] = None,
    new_key: Annotated[
        Path | None,
        typer.Option("--new-key", metavar="FILE", help="Make a private key, and FILE.pub to give away, and use it."),
    ] = None,
) -> None:
    """Sign a model with your private key.

    The signature is written to MODEL.sig. Whoever has your public key can check with `asl-edge verify --key` that the
    file comes from you and was not changed. Needs the extra `sign`.

    Examples:
        asl-edge sign model.aslz --new-key my.key
        asl-edge sign model.aslz --key my.key
        asl-edge verify model.aslz --key my.key.pub
    """
    from asl_edge.cli.output.console import out, print_next
    from asl_edge.runtime.bundle import signature

    if (key is None) == (new_key is None):
        raise UserError("Name your private key with --key, or make one with --new-key.")
    if new_key is not None:
        public = signature.make_keys(new_key)
        out.print(f"{new_key}: your private key. Keep it to yourself.")
        out.print(f"{public}: your public key. Give it to whoever shall verify your models, on another way than them.")
    path = signature.sign(model, key or new_key or "")
    out.print(f"Written: {path}")
    if new_key is not None:
        print_next(shlex.join(["asl-edge", "verify", str(model), "--key", str(public)]))
