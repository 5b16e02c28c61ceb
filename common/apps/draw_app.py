"""A lesion painted into a mammogram in a browser: MAM-E's drawing tool (Montoya-del-Angel et al. 2023, figure 5).

The original paints on one fixed picture and returns what the network made of all of it. Here a person loads a mammogram
of their own, and outside the strokes every stored value of it stays.
"""

from __future__ import annotations

import gradio as gr

from ..cohorts.prompt_attributes import PATHOLOGIES
from ..errors import InputError
from .draw_tool import NOT_SAID, DrawTool, sentence
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
    small_print,
    steps_slider,
    wrong,
)
from .sessions import Sessions
from .strokes import SIDE

__all__ = ["build", "look"]

LESIONS = ("mass", "calcification", "lesion")
SEED, GUIDANCE, MOST_GUIDANCE = 1337, 3, 10
BRUSH = gr.Brush(default_size=28, colors=["#ff5a50"], color_mode="fixed")


def build(model: MammogramModel, sessions: Sessions) -> gr.Blocks:
    """The page.

    Args:
        model: what paints.
        sessions: of the server.
    """
    tool = DrawTool(model, sessions)
    beginning = "lesion" if model.is_pipeline else "mass"
    with gr.Blocks(title="OncoSynth: paint a lesion", **BLOCKS) as page:
        gr.HTML(header(model, "Paint a lesion", "The lesion is made by software"), elem_id="header", padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=400):
                with gr.Row():
                    load = gr.UploadButton("Load a mammogram", size="sm", elem_id="load", min_width=150)
                    example = gr.Button(
                        "Example", size="sm", visible=model.example is not None, elem_id="example", min_width=90
                    )
                    any_modality = gr.Checkbox(
                        False, label="Any modality", container=False, elem_id="any_modality", min_width=110
                    )
                known = gr.Markdown("Load a mammogram to begin.", elem_id="known", elem_classes="small-print")
                with gr.Row():
                    lesion = gr.Dropdown(LESIONS, value=beginning, label="Lesion", elem_id="lesion", min_width=110)
                    pathology = gr.Dropdown(
                        (NOT_SAID, *PATHOLOGIES), value=NOT_SAID, label="Pathology", elem_id="pathology", min_width=110
                    )
                prompt = gr.Textbox(
                    sentence(beginning, NOT_SAID, False),
                    label="Prompt that is sent",
                    info="Follows the choices above; you may change it",
                    max_lines=1,
                    elem_id="prompt",
                )
                negative = gr.Textbox("", label="Negative prompt", max_lines=1, elem_id="negative")
                with gr.Row():
                    breast_only = gr.Checkbox(
                        True, label="Only within the breast", elem_id="breast_only", min_width=150
                    )
                    crop = gr.Checkbox(False, label="Close-up (finer)", elem_id="crop", min_width=150)
                with gr.Row():
                    guidance = guidance_slider(model, model.painting_guidance[0], MOST_GUIDANCE, GUIDANCE)
                    steps = steps_slider()
                with gr.Row():
                    use_seed, seed = seed_fields(SEED)
                    used = gr.Textbox("", label="Seed used", interactive=False, elem_id="used", min_width=100)
                gr.Markdown(
                    small_print("{:g} ({:g} in a close-up)".format(*model.painting_guidance), GUIDANCE),
                    elem_classes="small-print",
                )
                with gr.Row():
                    start = gr.Button("Paint lesion", variant="primary", elem_id="start")
                    cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
                status = gr.Markdown(_first_status(model), elem_id="status", elem_classes=["told", "progress-room"])
            with gr.Column(scale=7, min_width=480):
                canvas = gr.ImageEditor(
                    label="Paint the lesion's shape",
                    type="numpy",
                    image_mode="RGBA",
                    format="png",
                    sources=(),
                    transforms=(),
                    layers=False,
                    brush=BRUSH,
                    eraser=gr.Eraser(default_size=28),
                    canvas_size=(SIDE, SIDE),
                    height=SIDE,
                    interactive=True,
                    buttons=[],
                    elem_id="canvas",
                )
                clear = gr.Button("Clear strokes", size="sm", elem_id="clear")
        with gr.Row(visible=False, elem_id="results") as results:
            before, after, difference = (
                gr.Image(
                    label=label,
                    format="png",
                    interactive=False,
                    height=420,
                    buttons=["fullscreen"],
                    elem_id=name,
                    elem_classes="dark-picture",
                    min_width=200,
                )
                for name, label in (
                    ("before", "Before, with the mask"),
                    ("after", "After: SYNTHETIC lesion"),
                    ("difference", "Difference: brighter red, darker blue"),
                )
            )
        files = gr.File(
            label="16-bit PNG, and the format that was loaded",
            file_count="multiple",
            interactive=False,
            visible=False,
            elem_id="files",
        )
        choices = [lesion, pathology, crop]
        gr.on([choice.change for choice in choices], sentence, choices, prompt, **AT_ONCE)
        shown = [canvas, known, status]
        load.upload(tool.load, [load, any_modality], shown, show_progress_on=known, **PRIVATE)
        gr.on([page.load, example.click], tool.example, None, shown, show_progress_on=known, **PRIVATE)
        clear.click(tool.clear, None, canvas, **AT_ONCE)
        values = [canvas, breast_only, prompt, negative, crop, guidance, steps, use_seed, seed]
        (
            start.click(tool.begin, None, [start, cancel], **AT_ONCE)
            .then(
                tool.paint,
                values,
                [results, before, after, difference, files, used, status],
                show_progress_on=status,
                scroll_to_output=True,
                **ONE_AT_A_TIME,
                **PRIVATE,
            )
            .then(tool.end, None, [start, cancel], **AT_ONCE)
        )
        cancel.click(tool.stop, **AT_ONCE)
        page.unload(tool.close)
    return page


def _first_status(model: MammogramModel) -> str:
    """Says at once what could not be done after painting."""
    try:
        return "" if model.network.paints else wrong("These weights generate mammograms; they cannot paint into them.")
    except InputError as error:
        return wrong(str(error))
