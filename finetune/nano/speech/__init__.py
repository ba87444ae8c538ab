"""Synthetic speech: voices, utterances, rooms, and the features made of them."""
