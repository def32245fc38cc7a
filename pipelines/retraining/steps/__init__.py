"""The steps of a retraining run: each a module with a function `run` and a command of its own.

`python -m pipelines.retraining.steps.NAME RUN_FOLDER` does one step of a run whose earlier steps are done.
"""
