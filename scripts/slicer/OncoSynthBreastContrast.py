#!/usr/bin/env python-real
"""3D Slicer module: post-contrast phases of a breast MRI from its pre-contrast volume."""

from __future__ import annotations

import sys

from oncosynth_slicer.launch import Job, advanced_knobs, chosen_outputs, main, output_format

PHASES = {f"phase{number}": f"*_phase{number}.*" for number in (1, 2, 3)}


def make_job(values: dict) -> Job:
    """What the bundle is to do for these values of the descriptor."""
    patterns = {**PHASES, "subtraction": f"*_subtraction{values['subtractionPhase']}.*"}
    outputs = chosen_outputs(values, patterns)
    knobs = {
        "output_format": output_format(outputs),
        "clip_subtraction": values["clipSubtraction"],
        **advanced_knobs(values),
    }
    return Job(
        bundle="breast_dce_contrast_gan",
        source="inputVolume",
        path=values["inputVolume"],
        knobs=knobs,
        outputs=outputs,
        overlay=values["overlay"],
    )


if __name__ == "__main__":
    sys.exit(main(__file__, make_job))
