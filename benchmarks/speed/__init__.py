"""What the programs of speed share."""
