"""The stages of the training, one part of the model each."""
