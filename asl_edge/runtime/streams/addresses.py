"""Which sources are addresses, and which of these stand for a file on this machine."""

from __future__ import annotations

import os


def is_address(source: str) -> bool:
    """Whether `source` is the address of something elsewhere: `http://...`, `rtsp://...`; `file://` is a file."""
    scheme, separator, _ = source.partition("://")
    known = bool(separator) and len(scheme) > 1 and scheme.isascii() and scheme[0].isalpha()
    return known and scheme.lower() != "file" and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum()


def is_pipeline(source: str) -> bool:
    """Whether `source` is a camera that has no number: `csi://N`, `gst:PIPELINE`, or `picamera2`."""
    if source == "picamera2":
        return not os.path.lexists(source)
    return source.startswith(("csi://", "gst:"))


def is_http(source: str) -> bool:
    """Whether `source` is an address that answers one request: an image, a video file, or a stream of JPEGs."""
    return source[:8].lower().startswith(("http://", "https://"))


def local_path(source: str) -> str:
    """Return the path that a `file:` address stands for; any other source as it is."""
    if source[:5].lower() != "file:" or os.path.lexists(source):
        return source
    path = source[len("file:") :]
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        path = slash + rest if host in ("", "localhost") else path
    if os.path.lexists(path):
        return path
    from urllib.parse import unquote

    path = unquote(path)
    return path[1:] if os.name == "nt" and path[:1] == "/" and path[2:3] == ":" else path
