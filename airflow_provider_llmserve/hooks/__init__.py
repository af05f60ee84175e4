"""The connection of type ``llmserve``."""
