"""Training: the embedded checkpoint (``nano``)."""
