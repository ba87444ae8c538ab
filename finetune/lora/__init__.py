"""Fine-tuning of a checkpoint by low-rank adapters."""
