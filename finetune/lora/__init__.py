"""Fine-tuning a checkpoint by small adapters, speech included."""
