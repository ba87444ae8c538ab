"""Sound to the ear: the page's own player and Gradio's."""
