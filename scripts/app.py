"""Graphical tools of the mammogram bundle, in a browser on this machine.

    python scripts/app.py generate                                  # text to mammogram
    python scripts/app.py draw                                      # a lesion painted into a mammogram of your own
    python scripts/app.py draw --weights FOLDER --port 7861         # a pipeline in diffusers layout

Nothing is shared, and nothing is fetched but weights that you name as owner/name. A mammogram that you load is deleted
when you close its page, pictures of it within an hour or when the tool ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The bundle's own package, as in a bundle that was downloaded. `common` is not imported beside it.
BUNDLE = Path(__file__).resolve().parent.parent / "bundles" / "mammogram_stable_diffusion"
sys.path.insert(0, str(BUNDLE))

import fire
from scripts.common.apps.serving import serve
from scripts.common.errors import install_error_hook


def app(
    tool: str,
    weights: str | None = None,
    port: int = 7860,
    host: str = "127.0.0.1",
    device: str = "auto",
    revision: str | None = None,
    open_browser: bool = True,
) -> None:
    """Serve a graphical tool of the mammogram bundle.

    Args:
        tool: generate (mammograms from text) or draw (a lesion of any shape painted into a mammogram).
        weights: a model.pt, a folder in diffusers layout or owner/name of the Hugging Face hub, for draw of a model
            that inpaints; the bundle's own without it.
        port: at which the page is served.
        host: address to listen at; other machines reach the page only if you name one that they can.
        device: cpu, cuda, cuda:N or auto.
        revision: commit of the hub's repository.
        open_browser: open the page, where there is a screen.
    """
    serve(tool, BUNDLE, weights, host, port, device, revision, open_browser)


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(app, name="app.py")
