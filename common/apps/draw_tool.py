"""What the drawing tool's buttons do: load a mammogram, show it, paint a lesion where strokes are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from ..errors import InputError
from ..io.mammograms import Mammogram, load_mammogram
from ..io.volumes import volume_suffix
from ..reports.mammogram_pictures import difference_picture, outlined, picture
from ..sampling.mammogram_plan import painting_prompt
from ..transforms.mammogram_painting import painting_facts
from .downloads import write_painted
from .mammogram_model import Painted
from .page import seed_of, user_mistake, wrong
from .sessions import Stopped
from .strokes import SIDE, canvas_picture, lesion_mask
from .tool import PROGRESS, Tool, reporter

NOT_SAID = "not said"
# Row, three pictures, files, seed, status.
RESULTS = 7


def sentence(lesion: str, pathology: str, crop: bool) -> str:
    """The prompt of a choice; see `painting_prompt`."""
    said = None if pathology == NOT_SAID else pathology
    return painting_prompt(None, {"lesion": lesion, "pathology": said}, bool(crop))


class DrawTool(Tool):
    """Functions of the page's buttons."""

    def load(self, upload: str, any_modality: bool, request: gr.Request) -> tuple[Any, Any, str]:
        """`Load`: the picture to paint on, what is known of the mammogram, status. The upload is moved, not copied."""
        session, source = self.sessions.of(request), Path(upload)
        try:
            mammogram = load_mammogram(source, any_modality=any_modality, quiet=True)
            # Its own name may be a patient's.
            path = session.room("mammogram") / f"mammogram{volume_suffix(source) or source.suffix}"
            shutil.move(source, path)
        except Exception as error:  # told if it is a user's mistake, raised again otherwise
            return gr.skip(), gr.skip(), wrong(f"Not loaded: {_without_path(user_mistake(error), source)}")
        finally:
            source.unlink(missing_ok=True)
        session.mammogram = replace(mammogram, path=path)
        return canvas_value(mammogram), described(mammogram), ""

    def example(self, request: gr.Request) -> tuple[Any, Any, str]:
        """`Example`, and a page's beginning: the mammogram that the bundle ships."""
        if self.model.example is None:
            return gr.skip(), gr.skip(), gr.skip()
        mammogram = load_mammogram(self.model.example, quiet=True)
        self.sessions.of(request).mammogram = mammogram
        return canvas_value(mammogram), described(mammogram), gr.skip()

    def clear(self, request: gr.Request) -> Any:
        """`Clear strokes`."""
        mammogram = self.sessions.of(request).mammogram
        return gr.skip() if mammogram is None else canvas_value(mammogram)

    def paint(
        self,
        canvas: dict[str, Any] | None,
        breast_only: bool,
        prompt: str,
        negative_prompt: str,
        crop: bool,
        guidance: float,
        steps: float,
        use_seed: bool,
        seed_text: str,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple[Any, ...]:
        """`Paint lesion`: the row of results, before, after, difference, downloads, seed and status."""
        session = self.sessions.of(request)
        mammogram = session.mammogram
        try:
            if mammogram is None:
                raise InputError("no mammogram is loaded; load one, or the example")
            mask, dropped = lesion_mask((canvas or {}).get("layers") or [], mammogram.display(), breast_only)
            knobs = {
                "prompt": prompt,
                "negative_prompt": negative_prompt or "",
                "guidance_scale": guidance,
                "num_steps": int(steps),
                "seed": seed_of(use_seed, seed_text),
                "crop": bool(crop),
            }
            session.check()
            painted = self.model.paint(mammogram, mask, **knobs, on_step=reporter(session, progress, "painting"))
            session.check()
            paths, missing = write_painted(session.room("painted"), painted, self.model, knobs)
        except Stopped:
            return *[gr.skip()] * (RESULTS - 1), "Cancelled; nothing was painted."
        except Exception as error:  # told if it is a user's mistake, raised again otherwise
            return *[gr.skip()] * (RESULTS - 1), wrong(user_mistake(error))
        before, after = painted.painting.display, painted.after
        pictures = (
            outlined(picture(before, SIDE), painted.painting.mask),
            picture(after, SIDE),
            difference_picture(before, after, SIDE),
        )
        files = gr.File([str(path) for path in paths], visible=True)
        return (
            gr.Row(visible=True),
            *pictures,
            files,
            str(knobs["seed"]),
            "; ".join([told(painted, dropped), *missing]) + ".",
        )


def canvas_value(mammogram: Mammogram) -> dict[str, Any]:
    """The image editor's content: the mammogram, nothing painted on it."""
    grey = canvas_picture(mammogram.display())
    return {"background": np.repeat(grey[..., None], 3, axis=-1), "layers": [], "composite": None}


def described(mammogram: Mammogram) -> str:
    """What is known of a mammogram, in one line without the patient's identity."""
    height, width = mammogram.pixels.shape
    facts = [f"{height} x {width} pixels, {mammogram.bits_stored} bits"]
    for name in ("laterality", "view"):
        if getattr(mammogram, name):
            facts.append(getattr(mammogram, name) + (" (from its pixels)" if name in mammogram.guessed else ""))
    facts += [mammogram.vendor] if mammogram.vendor else []
    return "; ".join([", ".join(facts), *mammogram.warnings])


def _without_path(message: str, path: Path) -> str:
    """A message about a file that was loaded: without its name, and with what to do on this page."""
    message = message.replace(f"{path}: ", "").replace(str(path), "the file")
    return message.replace("say --any_modality True", "tick 'Any modality'")


def told(painted: Painted, dropped: float) -> str:
    """How much was painted."""
    count, total = painting_facts(painted.painting)["painted_pixels"], painted.pixels.size
    text = f"{count} of {total} pixels painted"
    spacing = painted.painting.mammogram.spacing
    text += f", {count * spacing[0] * spacing[1]:.0f} mm²" if spacing else ""
    return text + (f"; {dropped:.0%} of the strokes lay outside the breast" if dropped else "")
