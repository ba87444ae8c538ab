"""The only place that reads media files: sound to log-mel, pictures and clips to patches.

Errors that a bad file causes are :class:`omni.errors.MediaError`; one bad file never gives a half
result silently.
"""
