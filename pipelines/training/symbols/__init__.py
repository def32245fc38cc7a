"""The `symbols` model: its network, losses, targets, damaged tiles and training loop.

Keras runs on torch unless `KERAS_BACKEND` says otherwise, in the layout that the backend's kernels want.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

keras.config.set_image_data_format(
    "channels_first" if keras.backend.backend() == "torch" else "channels_last"
)
