"""Text to mammogram in a browser: the fields and defaults of MAM-E's tool (Montoya-del-Angel et al. 2023, figure 1)."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..cohorts.mammogram_prompts import PRIORITIES, attributes_from_knobs, compose
from ..cohorts.prompt_attributes import AREAS, DENSITY_WORDS
from .downloads import write_drawn
from .mammogram_model import MammogramModel
from .page import (
    AT_ONCE,
    BLOCKS,
    ONE_AT_A_TIME,
    PRIVATE,
    guidance_slider,
    header,
    look,
    seed_fields,
    seed_of,
    small_print,
    steps_slider,
    user_mistake,
    wrong,
)
from .sessions import Sessions, Stopped
from .tool import PROGRESS, Tool, reporter

__all__ = ["build", "look"]

VENDORS, VIEWS = ("Siemens", "Hologic"), ("CC", "MLO")
SEED, GUIDANCE, MOST_GUIDANCE, COUNTS = 1338, 6, 20, (1, 2, 3, 4)
DEFAULTS = ("Siemens", "MLO", "very high", "small", "area")


def sentence(vendor: str, view: str, density: str, area: str, priority: str) -> str:
    """The prompt of a choice; see `compose`."""
    return compose(attributes_from_knobs(view=view, vendor=vendor, density=density, area=area), priority)


class GenerateTool(Tool):
    """Functions of the page's buttons."""

    def draw(
        self,
        prompt: str,
        negative_prompt: str,
        guidance: float,
        steps: float,
        use_seed: bool,
        seed_text: str,
        laterality: str,
        count: float,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> tuple[Any, Any, Any, str]:
        """`Generate`: gallery, files, seed and status. What was finished before a stop or a mistake is kept."""
        session, pictures, files, told = self.sessions.of(request), [], [], ""
        seed, room, count = None, session.room("drawn"), int(count)
        try:
            seed = seed_of(use_seed, seed_text)
            for number in range(count):
                done = reporter(session, progress, f"image {number + 1} of {count}")
                knobs = {
                    "prompt": prompt,
                    "negative_prompt": negative_prompt or "",
                    "guidance_scale": guidance,
                    "num_steps": int(steps),
                    "seed": seed + number,
                    "laterality": laterality,
                }
                display = self.model.generate(**knobs, on_step=done)
                session.check()
                made, missing = write_drawn(room, display, self.model, knobs)
                pictures.append((str(made[0]), f"seed {seed + number}"))
                files += [str(path) for path in made]
        except Stopped:
            told = f"Cancelled; {len(pictures)} of {count} images were finished."
        except Exception as error:  # told if it is a user's mistake, raised again otherwise
            told = wrong(user_mistake(error))
        if not pictures:
            return gr.skip(), gr.skip(), gr.skip(), told
        seeds = str(seed) if len(pictures) == 1 else f"{seed} to {seed + len(pictures) - 1}"
        size = " x ".join(str(length) for length in display.shape)
        images = "1 image" if len(pictures) == 1 else f"{len(pictures)} images"
        told = (
            told or "; ".join([f"{images} of {size} pixels, {int(steps)} steps, guidance {guidance:g}", *missing]) + "."
        )
        return gr.Gallery(pictures, columns=1 if len(pictures) == 1 else 2), gr.File(files, visible=True), seeds, told


def build(model: MammogramModel, sessions: Sessions) -> gr.Blocks:
    """The page.

    Args:
        model: what draws.
        sessions: of the server.
    """
    tool = GenerateTool(model, sessions)
    vendor, view, density, area, priority = DEFAULTS
    with gr.Blocks(title="OncoSynth: text to mammogram", **BLOCKS) as page:
        gr.HTML(header(model, "Text to mammogram", "What is drawn shows no patient"), elem_id="header", padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=400):
                with gr.Row():
                    vendor = gr.Dropdown(VENDORS, value=vendor, label="Vendor", elem_id="vendor", min_width=110)
                    view = gr.Dropdown(VIEWS, value=view, label="View", elem_id="view", min_width=110)
                    side = gr.Dropdown(("L", "R"), value="L", label="Laterality", elem_id="laterality", min_width=110)
                with gr.Row():
                    words = tuple(DENSITY_WORDS.values())
                    density = gr.Dropdown(
                        words, value=density, label="Breast density", elem_id="density", min_width=110
                    )
                    area = gr.Dropdown(AREAS, value=area, label="Breast area", elem_id="area", min_width=110)
                    priority = gr.Dropdown(
                        PRIORITIES, value=priority, label="Priority", elem_id="priority", min_width=110
                    )
                prompt = gr.Textbox(
                    sentence(*DEFAULTS),
                    label="Prompt that is sent",
                    info="Follows the choices above; you may change it",
                    lines=2,
                    elem_id="prompt",
                )
                negative = gr.Textbox("", label="Negative prompt", max_lines=1, elem_id="negative")
                with gr.Row():
                    guidance = guidance_slider(model, model.guidance_scale, MOST_GUIDANCE, GUIDANCE)
                    steps = steps_slider()
                with gr.Row():
                    use_seed, seed = seed_fields(SEED)
                    count = gr.Dropdown(COUNTS, value=1, label="Images", min_width=90, elem_id="count")
                gr.Markdown(small_print(f"{model.guidance_scale:g}", GUIDANCE), elem_classes="small-print")
                with gr.Row():
                    start = gr.Button("Generate", variant="primary", elem_id="start")
                    cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
            with gr.Column(scale=7, min_width=420):
                gallery = gr.Gallery(
                    label="Synthetic mammograms",
                    columns=1,
                    height=560,
                    object_fit="contain",
                    format="png",
                    interactive=False,
                    buttons=["fullscreen", "download"],
                    elem_id="gallery",
                    elem_classes="dark-picture",
                )
                status = gr.Markdown("", elem_id="status", elem_classes="told")
                with gr.Row():
                    used = gr.Textbox("", label="Seed that was used", interactive=False, elem_id="used", min_width=140)
                    files = gr.File(
                        label="16-bit PNG and DICOM",
                        file_count="multiple",
                        interactive=False,
                        height=150,
                        elem_id="files",
                        scale=2,
                        visible=False,
                    )
        choices = [vendor, view, density, area, priority]
        gr.on([choice.change for choice in choices], sentence, choices, prompt, **AT_ONCE)
        values = [prompt, negative, guidance, steps, use_seed, seed, side, count]
        (
            start.click(tool.begin, None, [start, cancel], **AT_ONCE)
            .then(
                tool.draw,
                values,
                [gallery, files, used, status],
                show_progress_on=gallery,
                **ONE_AT_A_TIME,
                **PRIVATE,
            )
            .then(tool.end, None, [start, cancel], **AT_ONCE)
        )
        cancel.click(tool.stop, **AT_ONCE)
        page.unload(tool.close)
    return page
