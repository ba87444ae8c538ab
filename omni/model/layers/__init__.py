"""Building blocks that several parts of the model share."""
