"""Custom resources: definitions that users send, the schemas in them, and the resources served because of them."""
