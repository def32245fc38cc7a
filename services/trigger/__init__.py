"""The retraining trigger: for alerts of drift it starts retrainings, at most one for each reference."""
