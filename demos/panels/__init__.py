"""What stands around the tabs: header, model card, generation parameters."""
