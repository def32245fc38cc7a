"""Music in: folders of scores and other corpora."""
