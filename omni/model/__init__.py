"""The published architecture under the published tensor names.

Knows: tensors. Does not know: prompts, files of media, loading.
"""
