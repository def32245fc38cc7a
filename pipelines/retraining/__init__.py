"""Retraining: from data to a better version of a model that serves, without a person in between.

Nothing here but the steps themselves (`steps/`) needs a training framework: what leads a run may live where
only the services' packages are.
"""
