"""The training step of the example DAGs: real PEFT LoRA, on the CPU."""
