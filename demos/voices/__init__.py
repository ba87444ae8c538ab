"""Voices and roles as files: what ships with the program, what a person saved or wrote.

Knows: YAML tables, folders, archives. Does not know: Gradio, the model.
"""
