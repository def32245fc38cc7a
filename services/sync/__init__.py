"""The agent that makes a Triton server match the release manifest."""
