"""LoRA adapters: what is checked before one is published, its digest, its manifest and its name."""
