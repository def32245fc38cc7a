"""Releases: which versions of the models serve, and what share of requests each takes."""
