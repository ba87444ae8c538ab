"""From a conversation to the token ids and media that the model reads.

Knows: the prompt forms, special tokens, how a text is cut for reading aloud, what fits the context.
Does not know: tensors of the model, how media files are opened (:mod:`omni.media`).
"""
