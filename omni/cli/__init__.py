"""The command line, ``python -m omni``: a thin consumer of the engine."""
