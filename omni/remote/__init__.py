"""The engine of another machine: what travels over a connection, and both its ends."""
