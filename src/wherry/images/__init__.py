"""OCI images at rest and on the wire."""
