#!/usr/bin/env python-real
"""3D Slicer module: the tumour in a breast MRI as a label map."""

from __future__ import annotations

import sys

from oncosynth_slicer.launch import Job, advanced_knobs, chosen_outputs, main, output_format


def make_job(values: dict) -> Job:
    """What the bundle is to do for these values of the descriptor."""
    outputs = [output._replace(label=True) for output in chosen_outputs(values, {"tumor": "*_mask.n*"})]
    knobs = {
        "output_format": output_format(outputs),
        "mirroring": values["mirroring"],
        "plans": values["plans"],
        **advanced_knobs(values),
    }
    return Job(
        bundle="breast_dce_tumor_segmentation",
        source="inputVolume",
        path=values["inputVolume"],
        knobs=knobs,
        outputs=outputs,
        overlay=values["overlay"],
    )


if __name__ == "__main__":
    sys.exit(main(__file__, make_job))
