"""Classifiers, fill-mask and embedding models on this machine, in huggingfaceserver's protocol."""
