"""Recognition of pages: a picture of printed music in, its notation out."""
