"""Teachers: synthesizers that sound like people, from whom nano learns to hear and to speak."""
