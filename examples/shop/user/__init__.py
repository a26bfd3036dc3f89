"""User: accounts and sessions. Passwords are kept as scrypt digests; others see only signed tokens."""
