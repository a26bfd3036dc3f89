"""What makes an object invalid, in Kubernetes' words; pure functions from an object and a field path to causes."""
