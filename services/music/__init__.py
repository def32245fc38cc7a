"""Notes and notation: from performed notes to a score, and from a score to MIDI, MusicXML, SVG and PDF."""
