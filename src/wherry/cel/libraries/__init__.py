"""The functions Kubernetes adds to CEL, one library in each file. None of them reads time, the network or the object store."""
