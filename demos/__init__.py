"""The web UI: three tabs that share one engine.

Knows: Gradio, browser sessions, languages. Does not know: torch, tokens, how media are decoded.
Imports run one way: launch -> build -> the tabs -> turn, sessions, chat -> omni.
"""
