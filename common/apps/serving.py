"""One graphical tool on a local port: started, told where it is, and everything it wrote deleted at its end."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

from ..errors import InputError

TOOLS = {"generate": "generate_app", "draw": "draw_app"}
LOCAL = ("127.0.0.1", "localhost", "::1")
# A mammogram of 4096 x 3328 pixels has 27 MB.
LARGEST_UPLOAD = "300mb"


def serve(
    tool: str,
    bundle_root: str | Path,
    weights: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    device: str = "auto",
    revision: str | None = None,
    open_browser: bool = True,
) -> None:
    """Serve one tool until it is interrupted (Ctrl+C, SIGTERM).

    Args:
        tool: `generate` or `draw`.
        bundle_root, weights, device, revision: see `MammogramModel`.
        host: address to listen at; others than this machine reach it only where it is not a local one.
        port: at that address.
        open_browser: open the page, where there is a screen.

    Raises:
        InputError: no such tool, the port is in use, or as `MammogramModel`.
    """
    if tool not in TOOLS:
        raise InputError(f"tool={tool}: no such tool; give {' or '.join(TOOLS)}")
    check_port(host, port)
    # Libraries of many seconds; what is wrong with the port is told before.
    from .mammogram_model import MammogramModel
    from .sessions import Sessions

    model = MammogramModel(bundle_root, weights, device, revision)
    # Ends like Ctrl+C, so that the folder is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="oncosynth-") as folder:
        _prepare_gradio(Path(folder))
        page = importlib.import_module(f".{TOOLS[tool]}", __package__)
        sessions = Sessions(Path(folder) / "sessions")
        demo = page.build(model, sessions)
        try:
            demo.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                quiet=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                run_history=False,
                footer_links=[],
                num_workers=0,
                max_file_size=LARGEST_UPLOAD,
                **page.look(),
            )
            address = f"http://{host}:{port}"
            if host not in LOCAL:
                print(f"other machines can reach this tool: it listens at {host}", flush=True)
            print(f"OncoSynth {tool}: {address} ({model.name}, {model.device}); Ctrl+C ends it", flush=True)
            if open_browser and has_screen():
                webbrowser.open(address)
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            pass
        finally:
            sessions.stop()
            demo.close(verbose=False)


def check_port(host: str, port: int) -> None:
    """Whether a server can listen.

    Raises:
        InputError: no, because of the port or the address.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise InputError(f"port={port}: give a whole number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise InputError(f"host={host}: no address of this machine ({reason}); use 127.0.0.1") from error
            raise InputError(f"port={port}: cannot be used ({reason}); name another with --port {port + 1}") from error


def _prepare_gradio(folder: Path) -> None:
    """What gradio reads from the environment when it is imported: where files go, and that nothing is reported."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "served")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("NO_PROXY", "no_proxy"):  # gradio asks its own server whether it is up
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), *LOCAL[:2]]))
    logging.getLogger("uvicorn.error").addFilter(_is_no_disconnection)


def _is_no_disconnection(record: logging.LogRecord) -> bool:
    """False for the report of a page that was closed while it sent something, which is nobody's mistake."""
    return not record.exc_info or type(record.exc_info[1]).__name__ != "ClientDisconnect"


def has_screen() -> bool:
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens)
