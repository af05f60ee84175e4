"""The Open Inference Protocol: its wire, and a client of it."""
