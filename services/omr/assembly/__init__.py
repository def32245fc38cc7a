"""Assembly: symbols on staves become measures, notes and a score."""

from services.omr.assembly.assemble import assemble
from services.omr.assembly.recognition import RecognisedPage, Recognition

__all__ = ["RecognisedPage", "Recognition", "assemble"]
