"""What makes models: corpora, synthetic performances, training, evaluation, release."""
