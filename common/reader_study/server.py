"""The page on which a study is read: a small server on this machine, and nothing of other readers or of the truth.

A reader enters with a name and a word and gets a token that lives as long as the server; every further request carries
it. No address lists readers, answers of anybody else, file names, or questions of parts that are not open.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..apps.serving import LOCAL, check_port, has_screen
from ..errors import InputError
from ..knobs import as_path
from .layout import IMAGES, image_file
from .readers import enter, enter_named
from .session import Session
from .study_files import read_study

PAGE = Path(__file__).with_name("page.html")
LARGEST_REQUEST = 10_000
# Nothing from elsewhere, and no other page may show this one within itself.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class StudyServer:
    """The addresses of the page; each method named `post_…` or `get_…` is one.

    Args:
        folder: of the study.
        reader: the only one who can read, without a word; anybody with a name and a word if None.

    Raises:
        InputError: no study there, or images missing.
    """

    def __init__(self, folder: Path, reader: str | None = None) -> None:
        self.folder, self.only = folder, reader
        study = read_study(folder)
        missing = [name for name in study.images if not image_file(folder, name).is_file()]
        if missing:
            raise InputError(f"{folder / IMAGES}: lacks {missing[0]}.png; copy the study's folder again")
        if reader is not None:
            Session(folder, enter_named(folder, reader))
        self.sessions: dict[str, Session] = {}

    def app(self, hosts: list[str]) -> Starlette:
        """The application.

        Args:
            hosts: names by which browsers may call it, which keeps pages of other sites out; `*` for any.
        """
        routes = [
            Route("/", self.get_page),
            Route("/api/start", self._told(self.get_start)),
            Route("/api/enter", self._told(self.post_enter), methods=["POST"]),
            Route("/api/state", self._told(self.get_state)),
            Route("/api/answer", self._told(self.post_answer), methods=["POST"]),
            Route("/api/close", self._told(self.post_close), methods=["POST"]),
            Route("/api/image/{part:int}/{position:int}", self._told(self.get_image)),
        ]
        return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)])

    def get_page(self, request: Request) -> Response:
        """The page itself, which knows no question."""
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=HEADERS)

    def get_start(self, content: dict[str, Any], request: Request) -> dict[str, Any]:
        """Whether a name is asked for."""
        return {"named": self.only is not None}

    def post_enter(self, content: dict[str, Any], request: Request) -> dict[str, Any]:
        """From name and word to a token and the reader's state."""
        if self.only is not None:
            reader = enter_named(self.folder, self.only)
        else:
            reader = enter(self.folder, content.get("name", ""), content.get("word", ""))
        # One session a reader, so that two pages of one reader stand in the same part.
        known = next((session for session in self.sessions.values() if session.reader.name == reader.name), None)
        token = secrets.token_urlsafe(24)
        self.sessions[token] = known or Session(self.folder, reader)
        return {"token": token} | self.sessions[token].state()

    def get_state(self, content: dict[str, Any], request: Request) -> dict[str, Any]:
        """Where the reader stands."""
        return self._session(request).state()

    def post_answer(self, content: dict[str, Any], request: Request) -> dict[str, Any]:
        """Keep one answer."""
        self._session(request).answer(*(content.get(name) for name in ("part", "position", "value")))
        return {"saved": True}

    def post_close(self, content: dict[str, Any], request: Request) -> dict[str, Any]:
        """Close the part, and tell what the next one asks."""
        session = self._session(request)
        session.close_part(content.get("part"))
        return session.state()

    def get_image(self, content: dict[str, Any], request: Request) -> Response:
        """Pixels of an image, 16 bits, little-endian, row after row."""
        places = request.path_params
        pixels = self._session(request).pixels(places["part"], places["position"])
        size = {"X-Height": str(pixels.shape[0]), "X-Width": str(pixels.shape[1])}
        return Response(pixels.tobytes(), media_type="application/octet-stream", headers=HEADERS | size)

    def _session(self, request: Request) -> Session:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.sessions:
            raise PermissionError
        return self.sessions[token]

    def _told(self, method: Callable[[dict[str, Any], Request], Any]) -> Callable[[Request], Any]:
        """An address that takes and gives JSON, mistakes as `error`. It does not wait: requests follow each other."""

        async def address(request: Request) -> Response:
            try:
                content = await _content(request)
                found = method(content, request)
            except InputError as error:
                return JSONResponse({"error": str(error)}, 400, HEADERS)
            except PermissionError:
                return JSONResponse({"error": "enter your name and word again to go on"}, 401, HEADERS)
            return found if isinstance(found, Response) else JSONResponse(found, headers=HEADERS)

        return address


def serve_study(
    study: str | Path,
    reader: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7861,
    open_browser: bool = True,
) -> None:
    """Serve the page until it is interrupted (Ctrl+C, SIGTERM).

    Args:
        study: folder from `make_study`.
        reader: see `StudyServer`.
        host: address to listen at; others than this machine reach it only where it is not a local one.
        port: at that address.
        open_browser: open the page, where there is a screen.

    Raises:
        InputError: no study, a name that is none, or the port is in use.
    """
    server = StudyServer(as_path(study), None if reader is None else str(reader))
    check_port(host, port)
    app = server.app(hosts=list(LOCAL) if host in LOCAL else ["*"])
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", server_header=False)
    # uvicorn raises the signal again once it has shut down; either ends like Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        _Telling(config, host, open_browser).run()


class _Telling(uvicorn.Server):
    """A server that says where it is once it can be reached."""

    def __init__(self, config: uvicorn.Config, host: str, open_browser: bool) -> None:
        super().__init__(config)
        self.host, self.open_browser = host, open_browser

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        address = f"http://{self.host}:{self.config.port}"
        if self.host not in LOCAL:
            print(f"warning: other machines can reach this page: it listens at {self.host}, unencrypted", flush=True)
        print(f"reader study: {address}; Ctrl+C ends it, nothing is lost", flush=True)
        if self.open_browser and has_screen():
            webbrowser.open(address)


async def _content(request: Request) -> dict[str, Any]:
    """The object in a request's body, empty where there is none.

    Raises:
        InputError: another kind of body.
    """
    if request.method != "POST":
        return {}
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_REQUEST:
            raise InputError("request: too long")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise InputError("request: not JSON") from error
    if not isinstance(content, dict):
        raise InputError("request: not an object")
    return content
