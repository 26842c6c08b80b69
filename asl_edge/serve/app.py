"""The application: routes, and what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from asl_edge._version import __version__
from asl_edge.errors import AslEdgeError, ImageError
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.serve import inference_protocol, openapi
from asl_edge.serve.batching import Batcher, QueueFullError, StoppingError
from asl_edge.serve.camera import Camera
from asl_edge.serve.guard import PAGE, Guard, RefusedError
from asl_edge.serve.inference_protocol import InferRequest, ProtocolError
from asl_edge.serve.metrics import CONTENT_TYPE, Metrics
from asl_edge.serve.settings import ServeSettings

_LISTED = 3
"""Classes that a prediction lists."""
_GOING_AWAY = 1001
_MOST_FILES = 64


class Server:
    """What the routes share.

    Args:
        predictor: with `top_k` of all its classes.
        settings: of the server.
    """

    def __init__(self, predictor: Predictor, settings: ServeSettings) -> None:
        self.predictor, self.settings = predictor, settings
        self.name = Path(predictor.model.partition(" ")[0]).stem
        self.metrics = Metrics()
        self.batcher = Batcher(predictor, self.metrics, most_waiting=settings.queue, most_at_once=settings.batch)
        self.camera = None if settings.camera is None else Camera(settings.camera, predictor)

    async def predict(self, request: Request) -> Response:
        """Classify an image, or the files of a form."""
        self.batcher.refuse_if_full()  # before the body is read: a refusal must cost little
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            images = await _files(request)
        elif kind.startswith("image/") or kind == "application/octet-stream":
            images = [await request.body()]
        else:
            raise RefusedError(415, "Send an image (Content-Type: image/jpeg), or files in multipart/form-data.")
        outcomes = await self.batcher.classify(images)
        if kind != "multipart/form-data":
            (outcome,) = outcomes
            if isinstance(outcome, ImageError):
                raise RefusedError(400, f"image: {outcome}")
            return JSONResponse(_values(outcome))
        return JSONResponse({"predictions": [_values(one) for one in outcomes]})

    async def infer(self, request: Request) -> Response:
        """Classify as the Open Inference Protocol asks."""
        self._check_name(request)
        self.batcher.refuse_if_full()
        header = request.headers.get(inference_protocol.LENGTH_HEADER)
        body = await request.body()
        asked = InferRequest(body, header, self.predictor.spec.input_size, self.settings.queue)
        predictions: list[Prediction] = []
        for outcome in await self.batcher.classify(asked.images):
            if isinstance(outcome, ImageError):
                raise ProtocolError(f"image: {outcome}")
            predictions.append(outcome)
        content, length = asked.respond(self.name, self.predictor.spec.classes, predictions)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(
            content, headers={inference_protocol.LENGTH_HEADER: str(length)}, media_type="application/octet-stream"
        )

    async def model(self, request: Request) -> Response:
        """Describe the model."""
        self._check_name(request)
        return JSONResponse(inference_protocol.metadata(self.name, self.predictor.spec))

    async def model_ready(self, request: Request) -> Response:
        """Say that the model can be used."""
        self._check_name(request)
        return JSONResponse({"name": self.name, "ready": True})

    async def server_metadata(self, request: Request) -> Response:
        """Describe the server."""
        return JSONResponse({"name": "asl-edge", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def alive(self, request: Request) -> Response:
        """Say that the process answers."""
        return JSONResponse({"live": True, "ready": True})

    async def metrics_text(self, request: Request) -> Response:
        """Return the metrics."""
        return PlainTextResponse(self.metrics.text(self.batcher.waiting), media_type=CONTENT_TYPE)

    async def describe(self, request: Request) -> Response:
        """Return the OpenAPI description."""
        return JSONResponse(openapi.description(self.name, self.predictor.spec, self.settings))

    async def front(self, request: Request) -> Response:
        """Return the small page."""
        return HTMLResponse(PAGE.replace("{{model}}", self.name))

    async def stream(self, socket: WebSocket) -> None:
        """Send what the camera sees, event by event."""
        if self.camera is None:
            await socket.close(1008, "The server has no camera: start it with --camera.")
            return
        await socket.accept()
        tasks = {asyncio.create_task(work) for work in (_send(socket, self.camera.events()), _until_gone(socket))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _check_name(self, request: Request) -> None:
        path = request.path_params
        if path["model"] != self.name or path.get("version", "1") != "1":
            raise HTTPException(404, f"There is no such model. This server has {self.name}, version 1.")


def build_app(server: Server) -> ASGIApp:
    """Return the ASGI application."""
    model = "/v2/models/{model}"
    routes: list[BaseRoute] = [
        Route("/predict", server.predict, methods=["POST"]),
        Route("/healthz", server.alive),
        Route("/readyz", server.alive),
        Route("/metrics", server.metrics_text),
        Route("/openapi.json", server.describe),
        Route("/v2", server.server_metadata),
        Route("/v2/health/live", server.alive),
        Route("/v2/health/ready", server.alive),
        *(Route(f"{path}/infer", server.infer, methods=["POST"]) for path in (model, f"{model}/versions/{{version}}")),
        *(Route(f"{path}/ready", server.model_ready) for path in (model, f"{model}/versions/{{version}}")),
        *(Route(path, server.model) for path in (model, f"{model}/versions/{{version}}")),
        WebSocketRoute("/stream", server.stream),
    ]
    named = [route.path for route in routes if isinstance(route, Route) and "{" not in route.path]
    if server.settings.page is None:
        routes.append(Route("/", server.front))
    else:
        routes.append(Mount("/", StaticFiles(directory=server.settings.page, html=True)))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        server.batcher.stop()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            RefusedError: _refused,
            ProtocolError: partial(_error, 400),
            MultiPartException: partial(_error, 400),
            QueueFullError: partial(_error, 503),
            StoppingError: partial(_error, 503),
            HTTPException: _http_error,
            AslEdgeError: partial(_error, 500),
        },
    )
    return Guard(app, server.settings, server.metrics, [*named, "/"])


async def _send(socket: WebSocket, events: AsyncGenerator[dict[str, Any], None]) -> None:
    """Send events until they end or the listener has gone."""
    async with contextlib.aclosing(events):
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: closed while sending
            async for values in events:
                await socket.send_text(json.dumps(values))
            await socket.close(_GOING_AWAY)


async def _until_gone(socket: WebSocket) -> None:
    """Return when the listener has gone, also while no event comes; what it says is not listened to."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {name.decode(): value.decode() for name, value in error.headers.items()}
    if error.status in (408, 413, 503):
        headers["connection"] = "close"
    return JSONResponse({"error": error.reason}, error.status, headers)


async def _error(status: int, request: Request, error: Exception) -> Response:
    headers = {"retry-after": "1"} if status == 503 else None
    return JSONResponse({"error": str(error)}, status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _files(request: Request) -> list[bytes]:
    """Return the contents of a form's files."""
    async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FILES) as form:
        files = [value for _, value in form.multi_items() if not isinstance(value, str)]
        images = [await file.read() for file in files]
    if not images:
        raise RefusedError(400, "The form holds no file.")
    return images


def _values(outcome: Prediction | ImageError) -> dict[str, Any]:
    if isinstance(outcome, ImageError):
        return {"error": f"image: {outcome}"}
    values = outcome.to_dict()
    del values["source"]
    values.pop("region", None)
    values["top"] = values["top"][:_LISTED]
    return values
