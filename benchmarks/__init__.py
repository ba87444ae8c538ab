"""What is measured, as programs that print a table and write JSON."""
