"""One verb per file: a routed request in, a response out."""
