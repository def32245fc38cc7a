"""The step `make`."""

from tests.cluster.tiny_steps import main

if __name__ == "__main__":
    main("make")
