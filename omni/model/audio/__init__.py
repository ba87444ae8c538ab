"""The audio tokenizer: log-mel to codes, codes to the mel that the vocoder speaks."""
