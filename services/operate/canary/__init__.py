"""Canary analysis: whether a version on trial does worse than the stable one, by Prometheus' figures."""
