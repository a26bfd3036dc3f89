"""Questions to the server about itself: access reviews, token reviews, "who am I". Nothing is stored.

SelfSubjectAccessReview, SubjectAccessReview, LocalSubjectAccessReview, SelfSubjectRulesReview   authorization.k8s.io
SelfSubjectReview, TokenReview                                                                 authentication.k8s.io
"""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.errors import Cause, bad_request, invalid
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.apply.field_manager import manager_of
from wherry.apiserver.auth.node import node_name
from wherry.apiserver.auth.rbac import together
from wherry.apiserver.auth.user import User
from wherry.apiserver.core import Core
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.handlers import access_review
from wherry.apiserver.http import Answer, Request, Response
from wherry.apiserver.negotiation import negotiate
from wherry.apiserver.respond import write

GROUP = "authorization.k8s.io"


async def handle(core: Core, request: Request, info: RequestInfo, resource: Resource, user: User) -> Answer:
    review = decode.read_kind(request, resource.kind, resource.api_version, core.scheme.schema(resource))
    if review.get("spec") is None:
        review["spec"] = {}
    if resource.namespaced:
        _settle_namespace(review["metadata"], info.namespace)
    status = _ANSWERS[resource.resource](core, review, info, user)
    agent = request.headers.get("user-agent", "")
    core.field_managers.own_new(review, manager_of(request.query.get("fieldManager", ""), agent))
    metadata = review["metadata"]
    if resource.resource == "selfsubjectreviews":
        metadata = {"creationTimestamp": rfc3339(core.clock.time())}
    answer = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if resource.resource == "selfsubjectrulesreviews":
        answer.update(metadata={}, spec={})  # Kubernetes answers with a new object
    elif resource.resource != "selfsubjectreviews":
        answer["spec"] = review["spec"]
    answer["status"] = status
    if request.in_process:
        return Response(201, answer)
    wanted = negotiate(request.headers, request.query, message=(resource.api_version, resource.kind))
    return write(answer, wanted, 201)


def _settle_namespace(metadata: Obj, namespace: str) -> None:
    said = metadata.setdefault("namespace", namespace)
    if said != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def _self_access(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    spec = review["spec"]
    _refuse(access_review.causes(spec, subject=False) + access_review.metadata_causes(review["metadata"]))
    return _access(core, spec, user)


def _subject_access(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    spec = review["spec"]
    _refuse(access_review.causes(spec, subject=True) + access_review.metadata_causes(review["metadata"]))
    return _access(core, spec, _subject(spec))


def _local_subject_access(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    spec = review["spec"]
    _refuse(
        access_review.causes(spec, subject=True)
        + access_review.metadata_causes(review["metadata"], namespaced=True)
        + access_review.local_causes(spec, info.namespace)
    )
    return _access(core, spec, _subject(spec))


def _refuse(causes: list[Cause]) -> None:
    """Kubernetes' own object has lost its kind when it is checked, so the text does not name one."""
    if causes:
        raise invalid("", GROUP, "", causes)


def _subject(spec: Obj) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _access(core: Core, spec: Obj, user: User) -> Obj:
    decision = core.authorizer.decide(user, access_review.attributes(spec))
    status: Obj = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _self_rules(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    namespace = review["spec"].get("namespace", "")
    if not namespace:
        raise bad_request("no namespace on request")
    resource_rules: list[Obj] = []
    path_rules: list[Obj] = []
    problems: dict[str, None] = {}
    if node_name(user) is not None:
        problems["node authorizer does not support user rule resolution"] = None
    incomplete = bool(problems)
    for grant in core.authorizer.grants(user):
        if grant.namespace not in (None, namespace):
            continue
        if grant.missing:
            problems[grant.missing] = None
        for rule in grant.rules:
            if rule.get("resources"):
                kept = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in kept if rule.get(key)})
            if rule.get("nonResourceURLs") and grant.namespace is None:
                path_rules.append({key: rule[key] for key in ("verbs", "nonResourceURLs")})
    status: Obj = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": incomplete}
    if problems:
        status["evaluationError"] = together(problems)
    return status


def _self_review(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    return {"userInfo": user.to_user_info()}


def _token_review(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    spec = review["spec"]
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    verdict = core.authenticator.review(spec["token"], spec.get("audiences") or core.tokens.audiences)
    if verdict.user is None:
        return {"user": {}, "error": verdict.error}
    return {"authenticated": True, "user": verdict.user.to_user_info(), "audiences": list(verdict.audiences)}


_ANSWERS = {
    "selfsubjectaccessreviews": _self_access,
    "subjectaccessreviews": _subject_access,
    "localsubjectaccessreviews": _local_subject_access,
    "selfsubjectrulesreviews": _self_rules,
    "selfsubjectreviews": _self_review,
    "tokenreviews": _token_review,
}
RESOURCES = frozenset(_ANSWERS)
