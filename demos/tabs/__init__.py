"""The tabs: what each takes, and all that they share."""
