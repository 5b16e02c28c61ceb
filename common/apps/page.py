"""What both tools' pages share: look, banner, the fields about seeds, and a user's mistakes told in one line."""

from __future__ import annotations

import html
import secrets
from typing import Any

import gradio as gr

from ..errors import InputError, find_input_error
from .mammogram_model import LARGEST_SEED, MammogramModel

# Drawings wait for each other: one network, one at a time.
ONE_AT_A_TIME = {"concurrency_id": "sampling", "concurrency_limit": 1}
# Functions of these pages are no interface for other programs.
PRIVATE = {"api_visibility": "private"}
AT_ONCE = {**PRIVATE, "queue": False, "show_progress": "hidden"}
# Pictures that a page shows, and strokes that it sent, are deleted an hour later; the rest goes with the page.
BLOCKS = {"analytics_enabled": False, "fill_width": True, "delete_cache": (300, 3600)}
STEPS, FEWEST_STEPS, MOST_STEPS = 24, 10, 50
SEED_HELP = (
    "The seed is used as it is, a second image takes the next number. The command line gives each sample a seed of its "
    "own, in its provenance.json: that number gives the same image here."
)
CSS = """
.gradio-container {max-width: 1500px !important}
.gradio-container main {padding: 10px 16px !important}
.head {display: flex; flex-wrap: wrap; gap: 6px 18px; align-items: center}
.head h1 {font-size: 22px; font-weight: 700; margin: 0; white-space: nowrap}
.head .banner {flex: 1; min-width: 380px; padding: 6px 14px; border-radius: 6px; font-size: 13px}
.head .banner, .head .banner b {background: #7a1f1f; color: #fff !important}
.head .banner b {letter-spacing: .04em; margin-right: 10px}
.dark-picture .grid-wrap, .dark-picture .image-container, .dark-picture .image-frame, .dark-picture .empty,
.dark-picture .preview, .dark-picture .thumbnail-item {background: #101214 !important}
#gallery .grid-wrap, #gallery .grid-container {height: 100% !important; overflow: hidden}
#gallery .grid-container {grid-auto-rows: minmax(0, 1fr) !important}
#gallery .thumbnail-item {height: 100% !important; aspect-ratio: auto !important; border: 0}
#canvas, #canvas .image-container {background: #101214 !important}
/* The bin also takes the mammogram away, and there is one colour only. */
#canvas button[aria-label="Clear canvas"], #canvas button[aria-label="Color"] {display: none}
.told {padding: 2px 4px; min-height: 28px}
#status.progress-room {min-height: 76px}
#any_modality {border: 0; background: none; padding: 0}
.small-print {padding: 0 4px; opacity: .75}
.small-print p {font-size: 11.5px !important; line-height: 1.4}
.told .wrong {color: #ff7a70; font-weight: 600}
"""
# Mammograms are read in the dark; the image editor asks gradio's theme, not the style sheet.
DARK = """<script>
const address = new URL(window.location.href);
if (!address.searchParams.has("__theme")) {
  address.searchParams.set("__theme", "dark");
  window.location.replace(address);
}
</script>"""


def look() -> dict[str, Any]:
    """Theme, style sheet and colours, as `launch` takes them; fonts are the system's, nothing comes from a network."""
    font, mono = ["system-ui", "Segoe UI", "Roboto", "sans-serif"], ["ui-monospace", "Consolas", "monospace"]
    theme = gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", spacing_size="sm", text_size="sm", font=font, font_mono=mono
    )
    return {"theme": theme, "css": CSS, "head": DARK}


def header(model: MammogramModel, title: str, said: str) -> str:
    """The page's title, what every image of these weights is, and a few words more, as HTML."""
    what = "SYNTHETIC – phantoms only – not for diagnosis" if model.is_shipped else "SYNTHETIC – not for diagnosis"
    weights = html.escape(model.name)
    told = f'<div class="banner"><b>{what}</b>{html.escape(said)} ({weights})</div>'
    return f'<div class="head"><h1>{html.escape(title)}</h1>{told}</div>'


def wrong(message: str) -> str:
    """A message as the line of HTML that a page's status shows in red."""
    return f'<span class="wrong">{html.escape(" ".join(message.split()))}</span>'


def user_mistake(error: Exception) -> str:
    """The line that tells a user's mistake; any other error is raised again."""
    found = find_input_error(error)
    if found is None:
        raise error
    return " ".join(str(found).split())


def seed_fields(seed: int) -> tuple[gr.Checkbox, gr.Textbox]:
    """The two fields of the original tools; the number is text because browsers round whole numbers above 2^53."""
    use = gr.Checkbox(True, label="Use seed", info="Off: a random one", min_width=120, elem_id="use_seed")
    return use, gr.Textbox(str(seed), label="Seed", max_lines=1, min_width=120, elem_id="seed")


def seed_of(use_seed: bool, text: str) -> int:
    """The seed that a person chose, or a random one.

    Raises:
        InputError: no whole number from 0 on, or too large a one.
    """
    if not use_seed:
        return secrets.randbelow(2**31)
    text = str(text).strip()
    if not (text.isascii() and text.isdigit()) or int(text) > LARGEST_SEED:
        raise InputError(f"seed '{text}': give a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def steps_slider() -> gr.Slider:
    """How many network calls, as in the original tools."""
    steps = (FEWEST_STEPS, MOST_STEPS, STEPS)
    return gr.Slider(*steps, step=1, label="Diffusion steps", min_width=160, elem_id="steps")


def guidance_slider(model: MammogramModel, own: float, most: int, published: int) -> gr.Slider:
    """Guidance from 0 to `most`; the default is the one that suits the weights, `own` for the shipped ones."""
    value = own if model.is_shipped else published
    return gr.Slider(0, most, value, step=0.5, label="Guidance", min_width=160, elem_id="guidance")


def small_print(own: str, published: int) -> str:
    """What a person should know of guidance and seed."""
    return f"Guidance {own} suits the shipped weights; published models were used with {published}. {SEED_HELP}"
