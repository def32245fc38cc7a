"""A real Triton server on any machine: the environment, the local backend, its start and stop."""
