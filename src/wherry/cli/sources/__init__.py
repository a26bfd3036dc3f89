"""What `wherry up PATH` reads: plain YAML, kustomization.yaml, skaffold.yaml. There is no file format of our own."""
