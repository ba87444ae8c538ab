"""Conversations that are kept in the browser, and come back; what can be made of one."""
