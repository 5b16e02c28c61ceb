"""Seeded weights by key, so that a network of another project gets the same ones."""

import torch


def seeded_state(shapes, seed=0):
    """State dict of key to shape (or tensor): convolutions of unit gain, positive variances, small rest."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key in sorted(shapes):
        shape = tuple(getattr(shapes[key], "shape", shapes[key]))
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros(shape, dtype=torch.long)
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            state[key] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) > 1:
            fan_in = torch.Size(shape[1:]).numel()
            state[key] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            state[key] = 0.1 * torch.randn(shape, generator=generator)
    return state
