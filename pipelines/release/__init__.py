"""From a trained checkpoint to a model version in the repository."""
