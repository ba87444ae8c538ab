"""Training examples: from a number to a conversation and its sequence."""
