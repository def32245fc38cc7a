"""Keras' layers of the network, with torch's own kernels where torch is the backend.

Keras' convolution on torch copies every feature map from one layout into the other, and its normalisation is
seven kernels in FP32: together they made a training step five times as slow. On other backends these are
Keras' layers, unchanged.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

if keras.backend.backend() == "torch":
    import torch
    from torch.nn.functional import conv2d, interpolate

    from pipelines.training.distributed import batch_norm


def channel_axis() -> int:
    """Which axis of a feature map holds the channels."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def _torch_kernels() -> bool:
    return keras.backend.backend() == "torch" and channel_axis() == 1


class Convolution(layers.Conv2D):
    """A convolution that keeps the resolution, or divides it by its stride exactly.

    For the latter, the kernel must be as even or odd as the stride.
    """

    def __init__(
        self, channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1, **named: Any
    ) -> None:
        super().__init__(channels, kernel, stride, padding="same", dilation_rate=dilation, **named)

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        if not _torch_kernels():
            return super().call(inputs)
        kernel = self.kernel.value.permute(3, 2, 0, 1)
        stride, dilation = self.strides[0], self.dilation_rate[0]
        return conv2d(
            inputs.contiguous(memory_format=torch.channels_last),
            kernel,
            None if self.bias is None else self.bias.value,
            stride,
            (dilation * (self.kernel_size[0] - 1) + 1 - stride) // 2,
            dilation,
        )


class Normalisation(layers.BatchNormalization):
    """Batch normalisation (Ioffe and Szegedy 2015) over all axes but the channels, and over all ranks."""

    def __init__(self) -> None:
        super().__init__(axis=channel_axis(), momentum=0.97, epsilon=1e-4)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise."""
        if not _torch_kernels():
            return super().call(inputs, training=training, mask=mask)
        mean, variance = self.moving_mean.value, self.moving_variance.value
        scale, shift = self.gamma.value, self.beta.value
        return batch_norm(
            inputs, mean, variance, scale, shift, bool(training), 1 - self.momentum, self.epsilon
        )


def doubled(x: Any) -> Any:
    """Twice the resolution, bilinear."""
    if not _torch_kernels():
        return layers.UpSampling2D(2, interpolation="bilinear")(x)
    return _Doubled()(x)


class _Doubled(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return interpolate(inputs, scale_factor=2, mode="bilinear", align_corners=False)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, channels, height, width = shape
        return batch, channels, height and 2 * height, width and 2 * width
