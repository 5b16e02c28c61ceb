"""Learning-rate schedules."""

from __future__ import annotations


class ConstantThenLinear:
    """Factor of the learning rate: 1, then linearly down to 0; as in pix2pixHD, it first falls after one more epoch.

    Args:
        constant_epochs: epochs at the full rate.
        max_epochs: all epochs; the factor is 0 after the last.
    """

    def __init__(self, constant_epochs: int, max_epochs: int) -> None:
        self.constant_epochs, self.decay_epochs = constant_epochs, max(1, max_epochs - constant_epochs)

    def __call__(self, epoch: int) -> float:
        """Factor for the epoch after `epoch` finished ones."""
        return 1.0 - max(0, epoch - self.constant_epochs) / self.decay_epochs
