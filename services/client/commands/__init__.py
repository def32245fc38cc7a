"""The commands of `copyist`, one module each."""
