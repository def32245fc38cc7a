"""Traffic for watching drift: as the models were released for, and changed in one way at a time.

`python -m pipelines.release.traffic` makes the files here: held-out recordings as they would be sent, and
engraved pages that `pages` takes pictures of.
"""
