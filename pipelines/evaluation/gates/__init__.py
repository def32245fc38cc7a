"""Gates: whether a candidate may take the champion's place, judged on fixed test sets and by its cost."""
