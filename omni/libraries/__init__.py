"""What is used of a library in one place alone, and why there."""
