"""What every verdict is made of: words, diagnosis of pods and rollouts, failure texts with cause and remedy."""
