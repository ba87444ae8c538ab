"""The running app under many people, odd files and bad intent."""
