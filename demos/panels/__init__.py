"""What stands around the tabs: header, model bar, generation parameters."""
