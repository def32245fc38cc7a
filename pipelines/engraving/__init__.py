"""Pages with known content: scores engraved, with a box and a class for every symbol."""
