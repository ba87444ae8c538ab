"""How alike two answers are: in words, in sound."""
