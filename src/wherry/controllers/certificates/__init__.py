"""CertificateSigningRequests: approved for nodes, signed once approved, removed when nobody needs them any more."""

from wherry.controllers.certificates.controllers import Sign, build

__all__ = ["Sign", "build"]
