"""Several models of one kind, each in a process of its own, behind one engine."""
