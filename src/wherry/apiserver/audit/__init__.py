"""The audit log: what was asked of the API, by whom, and how it was answered, as a policy says; without one it costs nothing."""
