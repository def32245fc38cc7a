"""Scores become audio with the time of every note."""
