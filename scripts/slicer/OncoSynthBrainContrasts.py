#!/usr/bin/env python-real
"""3D Slicer module: T1, T1C, T2 and FLAIR of a brain around a tumour."""

from __future__ import annotations

import sys

from oncosynth_slicer.descriptor import Refused
from oncosynth_slicer.launch import Job, advanced_knobs, chosen_outputs, main

CONTRASTS = {name: f"*_{name.upper()}.nii.gz" for name in ("t1", "t1c", "t2", "flair")}


def make_job(values: dict) -> Job:
    """What the bundle is to do for these values of the descriptor.

    Raises:
        Refused: no tumour is given, or two are.
    """
    sources = [name for name in ("labelMap", "segmentation") if values[name]]
    if len(sources) != 1:
        raise Refused("give either a tumour label map or a tumour segmentation file")
    knobs = {
        "labels": values["labelTable"] or values["labels"],
        "reference": values["reference"],
        "seed": values["seed"],
        "num_steps": values["numSteps"],
        "guidance_scale": values["guidanceScale"],
        **advanced_knobs(values),
    }
    return Job(
        bundle="brain_tumor_multicontrast_diffusion",
        source=sources[0],
        path=values[sources[0]],
        knobs=knobs,
        outputs=chosen_outputs(values, CONTRASTS),
        named=sources == ["segmentation"],
        segments=sources == ["segmentation"],
        overlay=values["overlay"],
    )


if __name__ == "__main__":
    sys.exit(main(__file__, make_job))
