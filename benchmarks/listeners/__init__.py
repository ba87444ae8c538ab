"""Training of the listeners by which speech is judged."""
