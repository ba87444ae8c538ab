"""What the programs of quality share."""
