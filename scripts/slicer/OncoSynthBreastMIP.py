#!/usr/bin/env python-real
"""3D Slicer module: a subtraction MIP of the breasts around lesions with BI-RADS classes."""

from __future__ import annotations

import sys

from oncosynth_slicer.launch import Job, advanced_knobs, chosen_outputs, main, output_format


def make_job(values: dict) -> Job:
    """What the bundle is to do for these values of the descriptor."""
    outputs = chosen_outputs(values, {"mip": "*_mip.n*"})  # .nrrd or .nii.gz, not the picture beside it
    knobs = {
        "num_samples": 1,
        "classes": values["classes"],
        "project": values["project"],
        "seed": values["seed"],
        "num_steps": values["numSteps"],
        "guidance_scale": values["guidanceScale"],
        "output_format": output_format(outputs),
        **advanced_knobs(values),
    }
    return Job(
        bundle="breast_mip_lesion_diffusion",
        source="segmentation",
        path=values["segmentation"],
        knobs=knobs,
        outputs=outputs,
        named=True,
        overlay=values["overlay"],
    )


if __name__ == "__main__":
    sys.exit(main(__file__, make_job))
