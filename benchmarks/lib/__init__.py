"""What every benchmark shares: rows, bounds, the machine."""
