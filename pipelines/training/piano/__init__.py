"""The `piano` model: its spectrogram, network, targets, data and training loop."""
