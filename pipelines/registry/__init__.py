"""The registry of models, kept by MLflow: runs, versions, what they measure, and which of them serves."""
