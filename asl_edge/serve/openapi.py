"""The OpenAPI description of the server."""

from __future__ import annotations

from typing import Any

from asl_edge._version import __version__
from asl_edge.serve.settings import ServeSettings
from asl_edge.spec import ModelSpec

_JSON = "application/json"
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_REASONS = {
    400: "What was sent cannot be used",
    401: "A token is needed",
    403: "Host or Origin is refused",
    404: "There is no such model",
    405: "Another method",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "Another kind of body",
    429: "Too many requests of this client",
    503: "Too many images wait",
}


def description(name: str, spec: ModelSpec, settings: ServeSettings) -> dict[str, Any]:
    """Return the description.

    Args:
        name: of the model.
        spec: its specification.
        settings: of the server.
    """
    prediction = _prediction(spec)
    several = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": {"type": "object"}}},
    }
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string", "enum": ["image", "encoded"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string", "enum": ["UINT8", "BYTES"]},
            "data": {"type": "array", "items": {}},
        },
    }
    infer = {"type": "object", "required": ["inputs"], "properties": {"inputs": {"type": "array", "items": tensor}}}
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}}
    bodies = {
        kind: {"schema": binary} for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
    }
    predict = {
        **_operation("Classify an image, or the files of a form", {"anyOf": [prediction, several]}),
        "requestBody": {"required": True, "content": {**bodies, "multipart/form-data": {"schema": form}}},
    }
    asked = {"required": True, "content": {_JSON: {"schema": infer}}}
    model = f"/v2/models/{name}"
    anything: dict[str, Any] = {"type": "object"}
    paths: dict[str, Any] = {
        "/predict": {"post": predict},
        "/healthz": {"get": _operation("Whether the process answers", anything)},
        "/readyz": {"get": _operation("Whether the model is loaded", anything)},
        "/metrics": {"get": _operation("Prometheus metrics", None)},
        "/openapi.json": {"get": _operation("This description", anything)},
        "/v2": {"get": _operation("The server", anything)},
        "/v2/health/live": {"get": _operation("Whether the process answers", anything)},
        "/v2/health/ready": {"get": _operation("Whether the model is loaded", anything)},
        model: {"get": _operation("The model's tensors", anything)},
        f"{model}/ready": {"get": _operation("Whether the model is loaded", anything)},
        f"{model}/infer": {"post": {**_operation("Classify, by tensors", anything), "requestBody": asked}},
    }
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "asl-edge", "version": __version__, "description": f"The model {name}."},
        "paths": paths,
    }
    if settings.token is not None:
        described["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        described["security"] = [{"token": []}]
    return described


def _prediction(spec: ModelSpec) -> dict[str, Any]:
    """Return the schema of a prediction."""
    return {
        "type": "object",
        "required": ["label", "confidence", "accepted", "top", "ms"],
        "properties": {
            "label": {"type": "string", "enum": list(spec.classes)},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "accepted": {"type": "boolean", "description": "false: the answer is 'not sure'"},
            "top": {"type": "array", "items": {"type": "object"}},
            "ms": {"type": "number"},
            "crop_box": {"type": "array", "items": {"type": "number"}},
            "landmarks": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        },
    }


def _operation(summary: str, schema: dict[str, Any] | None) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}} if schema is None else {_JSON: {"schema": schema}}
    errors = {
        str(status): {"description": reason, "content": {_JSON: {"schema": _ERROR}}}
        for status, reason in _REASONS.items()
    }
    return {"summary": summary, "responses": {"200": {"description": "The answer", "content": content}, **errors}}
