"""Automatic music transcription: a recording in, notation out."""
