"""Small models of the controllers, from which histories are generated.

What keeps them honest: every change that a recorded history shows is one of the model's moves (``moves``), and generated runs
make all of them.
"""
