"""What is imported of a library in one place, and why there."""
