"""The HiFT vocoder: mel to a 24 kHz waveform, whole or piece by piece."""
