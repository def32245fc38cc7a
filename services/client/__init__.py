"""The Python client and the `copyist` command."""
