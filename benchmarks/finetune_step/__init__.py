"""How long steps of fine-tuning take, and their memory beside the plan."""
