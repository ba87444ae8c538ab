"""The small world of the embedded model: its words, sentences, facts and questions."""
