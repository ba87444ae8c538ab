"""The embedded checkpoint: synthetic data and the training that makes it."""
