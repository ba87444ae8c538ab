"""What every stage of the training shares: the loop, precision, the checkpoint's parts."""
