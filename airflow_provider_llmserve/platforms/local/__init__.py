"""The platform on this machine: llama.cpp and transformers behind a gateway with KubeAI's routes."""
