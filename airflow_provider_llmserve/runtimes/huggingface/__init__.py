"""HuggingFace-serve, as a Deployment or as a KServe InferenceService."""
