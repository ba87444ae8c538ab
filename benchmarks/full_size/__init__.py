"""The published size on this machine: a checkpoint of random weights, loaded and used."""
