"""Load and speed: benchmarks against peers, and users for load tests."""
