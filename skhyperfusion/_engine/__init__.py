"""Everything that runs a network: batches, the held-out rows, training, prediction."""
