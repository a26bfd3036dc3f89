"""Wherry runs a microservices application on one Linux machine from its ordinary Kubernetes manifests.

Nothing is imported here: the launcher and pytest's plug-in loading must not pull in the whole product.
"""

__version__ = "0.1.0"
