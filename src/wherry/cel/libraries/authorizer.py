"""`authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed()`.

The library only gathers what is asked; who may do what is the business of the `Authority` it was made with. Source:
Kubernetes' authorizer library.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from wherry.cel.functions import Library, Overload, method
from wherry.cel.types import BOOL, STRING, opaque

AUTHORIZER: Final = opaque("kubernetes.authorization.Authorizer")
PATH_CHECK: Final = opaque("kubernetes.authorization.PathCheck")
GROUP_CHECK: Final = opaque("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK: Final = opaque("kubernetes.authorization.ResourceCheck")
DECISION: Final = opaque("kubernetes.authorization.Decision")
_CHECK_COST: Final = 350_000
"""As Kubernetes: two checks fit one expression."""


class Question(NamedTuple):
    """May `verb` be done? Either `path` is set, or `resource`. `service_account` is (namespace, name) when it is not the
    request's own user who is asked about."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


class Decision:
    """What the authority says; `error` when it could not say."""

    __slots__ = ("allowed", "error", "reason")
    type_name = "kubernetes.authorization.Decision"

    def __init__(self, allowed: bool, reason: str = "", error: str = "") -> None:
        (self.allowed, self.reason, self.error) = (allowed, reason, error)


class Authority(Protocol):
    """Answers without waiting: an expression is no coroutine."""

    def decide(self, question: Question) -> Decision: ...


class Authorizer:
    """The variable `authorizer`: an authority and whom it is asked about."""

    __slots__ = ("authority", "service_account")
    type_name = "kubernetes.authorization.Authorizer"

    def __init__(self, authority: Authority, service_account: tuple[str, str] | None = None) -> None:
        self.authority = authority
        self.service_account = service_account

    def check(self, question: Question) -> Decision:
        return self.authority.decide(question._replace(service_account=self.service_account))


class _Check:
    """A question without its verb."""

    __slots__ = ("authorizer", "question")

    def __init__(self, authorizer: Authorizer, question: Question) -> None:
        self.authorizer = authorizer
        self.question = question

    def check(self, verb: str) -> Decision:
        return self.authorizer.check(self.question._replace(verb=verb))


class PathCheck(_Check):
    __slots__ = ()
    type_name = "kubernetes.authorization.PathCheck"


class GroupCheck(_Check):
    __slots__ = ()
    type_name = "kubernetes.authorization.GroupCheck"

    def resource(self, resource: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, self.question._replace(resource=resource))


class ResourceCheck(_Check):
    """Also what `authorizer.requestResource` is: the request's own group, resource, namespace and name."""

    __slots__ = ()
    type_name = "kubernetes.authorization.ResourceCheck"

    def subresource(self, name: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, self.question._replace(subresource=name))

    def namespace(self, name: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, self.question._replace(namespace=name))

    def name(self, name: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, self.question._replace(name=name))

    def fields(self, selector: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, self.question._replace(field_selector=selector))

    def labels(self, selector: str) -> ResourceCheck:
        return ResourceCheck(self.authorizer, self.question._replace(label_selector=selector))


def _path(authorizer: Authorizer, path: str) -> PathCheck:
    return PathCheck(authorizer, Question("", path=path))


def _group(authorizer: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(authorizer, Question("", group=group))


def _account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    return Authorizer(authorizer.authority, (namespace, name))


def _cost(check: _Check, verb: str) -> int:
    return _CHECK_COST


AUTHORIZERS: Final = Library(
    "authorizer",
    (
        method("path", Overload((AUTHORIZER, STRING), PATH_CHECK, _path)),
        method("group", Overload((AUTHORIZER, STRING), GROUP_CHECK, _group)),
        method("serviceAccount", Overload((AUTHORIZER, STRING, STRING), AUTHORIZER, _account)),
        method("resource", Overload((GROUP_CHECK, STRING), RESOURCE_CHECK, GroupCheck.resource)),
        method("subresource", Overload((RESOURCE_CHECK, STRING), RESOURCE_CHECK, ResourceCheck.subresource)),
        method("namespace", Overload((RESOURCE_CHECK, STRING), RESOURCE_CHECK, ResourceCheck.namespace)),
        method("name", Overload((RESOURCE_CHECK, STRING), RESOURCE_CHECK, ResourceCheck.name)),
        method("fieldSelector", Overload((RESOURCE_CHECK, STRING), RESOURCE_CHECK, ResourceCheck.fields)),
        method("labelSelector", Overload((RESOURCE_CHECK, STRING), RESOURCE_CHECK, ResourceCheck.labels)),
        method(
            "check",
            Overload((PATH_CHECK, STRING), DECISION, PathCheck.check, _cost),
            Overload((RESOURCE_CHECK, STRING), DECISION, ResourceCheck.check, _cost),
        ),
        method("allowed", Overload((DECISION,), BOOL, lambda decision: decision.allowed)),
        method("reason", Overload((DECISION,), STRING, lambda decision: decision.reason)),
        method("errored", Overload((DECISION,), BOOL, lambda decision: bool(decision.error))),
        method("error", Overload((DECISION,), STRING, lambda decision: decision.error)),
    ),
    classes={each.type_name: each for each in (Authorizer, PathCheck, GroupCheck, ResourceCheck, Decision)},
)
