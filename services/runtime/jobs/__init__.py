"""Durable jobs: taken in by a service, done by its workers, kept until they expire."""
