"""The platform on a Kubernetes cluster."""
