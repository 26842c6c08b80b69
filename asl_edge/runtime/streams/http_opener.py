"""The one opener of addresses: http and https, and nothing else, however an address redirects."""

from __future__ import annotations

from http.client import HTTPMessage
from typing import IO
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from asl_edge.errors import ImageError
from asl_edge.runtime.streams.addresses import is_http


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to http and https; Python's own would open a connection for FTP as well."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not is_http(newurl):
            fp.close()
            raise ImageError("the address redirects to one that is not http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def http_opener() -> OpenerDirector:
    """Return an opener without handlers for FTP, files and data, with the proxies of the environment."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPDefaultErrorHandler,
        _Redirects,
        HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
