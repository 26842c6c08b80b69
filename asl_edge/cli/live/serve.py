"""`asl-edge serve`: a model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asl_edge.cli.options import HandModel, ModelArgument, Provider, Strict, Threads, Threshold, Zoom, model_options
from asl_edge.errors import MissingPackageError

_ACCESS, _LIMITS = "Access", "Limits"


def serve(
    model: ModelArgument = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Address to listen on; another than this machine's own needs a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port; 0 takes a free one.")] = 8000,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera", metavar="SOURCE", help="A camera, stream or video that /stream reads fingerspelling from."
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FOLDER", help="Serve these static files at /.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="Clients must send the token in this file.", rich_help_panel=_ACCESS
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A further name of this server. Repeatable.", rich_help_panel=_ACCESS
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, PEM.", rich_help_panel=_ACCESS)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, PEM.", rich_help_panel=_ACCESS)
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            "--queue", metavar="N", min=1, help="Images that may wait; more are refused.", rich_help_panel=_LIMITS
        ),
    ] = 64,
    batch: Annotated[
        int,
        typer.Option("--batch", metavar="N", min=1, help="Images at once, if so many wait.", rich_help_panel=_LIMITS),
    ] = 16,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="N",
            help="Requests per second of one client.",
            show_default="no limit",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    megabytes: Annotated[
        int, typer.Option("--megabytes", metavar="N", min=1, help="Size of a request.", rich_help_panel=_LIMITS)
    ] = 10,
    threshold: Threshold = None,
    zoom: Zoom = True,
    hand_model: HandModel = None,
    provider: Provider = "auto",
    strict: Strict = False,
    threads: Threads = None,
) -> None:
    """Serve a model over HTTP.

    There is a page, POST /predict, the Open Inference Protocol, and /stream for a camera. Only this machine can reach
    the server, unless you name another address; then clients need a token. Ctrl-C ends it.

    Examples:
        asl-edge serve
        asl-edge serve model.onnx --port 0
        asl-edge serve --host 0.0.0.0 --token-file token.txt
    """
    try:
        from asl_edge.serve import run
    except ImportError as error:
        raise MissingPackageError(
            f"The server needs packages that cannot be imported ({error}). Install them: pip install 'asl-edge[serve]'"
        ) from error
    from asl_edge.serve.settings import MEGABYTE, ServeSettings

    settings = ServeSettings(
        host=host,
        port=port,
        token=run.read_token(token_file),
        allowed_hosts=tuple(name.lower() for name in allow_host or ()),
        certificate=tls_cert,
        key=tls_key,
        most_bytes=megabytes * MEGABYTE,
        queue=queue,
        batch=batch,
        rate=rate,
        camera=camera,
        page=page,
    )
    if (warning := run.warn_without_tls(settings)) is not None:
        typer.secho(warning, err=True, fg="yellow")
    options = model_options(provider=provider, strict=strict, threads=threads, zoom=zoom, hand_model=hand_model)

    def started(address: str) -> None:
        typer.echo(f"Serving at {address} (Ctrl-C ends it)")

    run.serve(model, settings, options, threshold=threshold, on_start=started)
