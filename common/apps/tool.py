"""What the buttons of both tools do alike: begin, stop, end, and forget a page that was closed."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .mammogram_model import MammogramModel, OnStep
from .sessions import Session, Sessions

PROGRESS = gr.Progress()


class Tool:
    """Functions of a page's buttons.

    Args:
        model: what draws.
        sessions: of the server.
    """

    def __init__(self, model: MammogramModel, sessions: Sessions) -> None:
        self.model, self.sessions = model, sessions

    def begin(self, request: gr.Request) -> tuple[Any, Any]:
        """Before sampling: the start button off, `Cancel` on."""
        self.sessions.of(request).begin()
        return gr.Button(interactive=False), gr.Button(interactive=True)

    def end(self) -> tuple[Any, Any]:
        """After sampling: the other way round."""
        return gr.Button(interactive=True), gr.Button(interactive=False)

    def stop(self, request: gr.Request) -> None:
        """`Cancel`."""
        self.sessions.of(request).stop()

    def close(self, request: gr.Request) -> None:
        """The page was closed or loaded anew."""
        self.sessions.drop(request)


def reporter(session: Session, progress: gr.Progress, what: str) -> OnStep:
    """Shows each step of the sampler, and ends it where a person wishes so."""

    def on_step(done: int, total: int) -> None:
        session.check()
        progress((done, total), desc=what, unit="steps")

    return on_step
