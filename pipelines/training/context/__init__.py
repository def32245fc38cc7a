"""Training of `context`: what each candidate of a staff is in the light of the others."""
