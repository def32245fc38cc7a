"""The stack on one machine: starts Triton and the services, keeps them up, stops them cleanly."""
