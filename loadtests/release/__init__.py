"""Releases under load: candidates, good and bad, on the real stack; `make test-release`."""
