"""What the API answers when it cannot do what was asked.

    StatusError(code, reason, message)      one class: the wire has one shape, metav1.Status
      bad_request 400 · unauthorized 401 · forbidden 403 · not_found 404 · method_not_allowed 405 · not_acceptable 406
      already_exists 409 · conflict 409 · expired 410 · too_large 413 · unsupported_media_type 415 · invalid 422
      too_many_requests 429 · internal_error 500 · server_timeout 504

Raised once, translated once (at the HTTP edge). Messages and reasons are those of k8s.io/apimachinery's documented API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from wherry.api.types import Obj


class Cause(Struct, frozen=True):
    """One reason an object is invalid: `reason` FieldValueRequired, ..., `field` a path such as spec.ports[0].port."""

    reason: str
    message: str
    field: str

    def to_dict(self) -> Obj:
        return {"reason": self.reason, "message": self.message, "field": self.field}


class StatusError(Exception):
    """A failure in Kubernetes' own form; `details` is metav1.StatusDetails as a dict or None."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Obj | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def to_status(self) -> Obj:
        """The metav1.Status object of this failure."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Obj) -> StatusError:
        """The failure a server sent."""
        return cls(
            int(status.get("code") or 500), status.get("reason", ""), status.get("message", ""), status.get("details")
        )


def _details(resource: str, group: str, name: str, **more: Any) -> Obj:
    details: Obj = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    details.update({key: value for key, value in more.items() if value})
    return details


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    return StatusError(401, "Unauthorized", message)


def forbidden(resource: str, group: str, name: str, why: str) -> StatusError:
    """`pods "x" is forbidden: why`; without a name `pods is forbidden: why`."""
    quoted = f' "{name}"' if name else ""
    return StatusError(
        403,
        "Forbidden",
        f"{_qualified(resource, group)}{quoted} is forbidden: {why}",
        _details(resource, group, name),
    )


def not_found(resource: str, name: str, group: str = "") -> StatusError:
    quoted = f'"{name}"' if name.isprintable() else json.dumps(name, ensure_ascii=False).replace("\\u00", "\\x")
    return StatusError(
        404, "NotFound", f"{_qualified(resource, group)} {quoted} not found", _details(resource, group, name)
    )


def path_not_found() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed(method: str = "") -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_acceptable(accepted: Iterable[str]) -> StatusError:
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}")


def already_exists(resource: str, name: str, group: str = "") -> StatusError:
    return StatusError(
        409, "AlreadyExists", f'{_qualified(resource, group)} "{name}" already exists', _details(resource, group, name)
    )


def conflict(resource: str, name: str, why: str, group: str = "") -> StatusError:
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}',
        _details(resource, group, name),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def expired(message: str) -> StatusError:
    """410: the revision asked for is compacted; clients list again."""
    return StatusError(410, "Expired", message)


def too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(sent: str, accepted: Iterable[str]) -> StatusError:
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
    )


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> StatusError:
    """422 `Pod "p" is invalid: field: message`; several causes are listed in brackets, as Kubernetes does."""
    causes = list(causes)
    assert causes, "an object is invalid for a reason"
    texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    unique = list(dict.fromkeys(texts))
    joined = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = _details(kind, group, name)
    details["causes"] = [cause.to_dict() for cause in causes]
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {joined}', details)


def too_many_requests(message: str, retry_after_seconds: int) -> StatusError:
    return StatusError(
        429,
        "TooManyRequests",
        message,
        {"retryAfterSeconds": retry_after_seconds},
        {"Retry-After": str(retry_after_seconds)},
    )


def internal_error(message: str) -> StatusError:
    return StatusError(
        500,
        "InternalError",
        f"Internal error occurred: {message}",
        {"causes": [{"message": message}]},
    )


def is_not_found(error: BaseException) -> bool:
    return isinstance(error, StatusError) and error.code == 404


def is_conflict(error: BaseException) -> bool:
    return isinstance(error, StatusError) and error.code == 409 and error.reason == "Conflict"


def is_already_exists(error: BaseException) -> bool:
    return isinstance(error, StatusError) and error.reason == "AlreadyExists"


def namespace_is_ending(error: BaseException) -> bool:
    """Refused because the namespace is being deleted, as what the writer wrote for soon will be: nothing to report."""
    details = error.details if isinstance(error, StatusError) else None
    causes = (details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def is_expired(error: BaseException) -> bool:
    return isinstance(error, StatusError) and error.code == 410
