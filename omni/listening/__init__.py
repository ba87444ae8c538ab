"""Listening while sound comes in: who speaks when, and whether it is the program itself.

Knows: 16 kHz sound in pieces of any length. Does not know: the model that answers, browsers.
Importing it imports no torch; :class:`omni.listening.voice_activity.SileroVoiceActivity` does when
it is made.
"""
