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
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.core import Core
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Answer, Request, Response
from wherry.apiserver.negotiation import negotiate
from wherry.apiserver.registry.validation import field
from wherry.apiserver.respond import write


async def handle(core: Core, request: Request, info: RequestInfo, resource: Resource, user: User) -> Answer:
    review = decode.read_kind(request, resource.kind, resource.api_version, core.scheme.schema(resource))
    review.setdefault("spec", {})
    status = _ANSWERS[resource.resource](core, review, info, user)
    metadata = review["metadata"]
    if resource.resource == "selfsubjectreviews":
        metadata = {"creationTimestamp": rfc3339(core.clock.time())}
    answer = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if resource.resource != "selfsubjectreviews":
        answer["spec"] = review["spec"]
    answer["status"] = status
    if request.in_process:
        return Response(201, answer)
    return write(answer, negotiate(request.headers, request.query), 201)


def _self_access(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    return _access(core, "SelfSubjectAccessReview", review["spec"], user)


def _subject_access(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    spec = review["spec"]
    if not spec.get("user") and not spec.get("groups"):
        cause = field.invalid("spec.user", "", "at least one of user or group must be specified")
        raise invalid("SubjectAccessReview", "authorization.k8s.io", "", [cause])
    return _access(core, "SubjectAccessReview", spec, _subject(spec))


def _local_subject_access(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    spec = review["spec"]
    attributes = spec.get("resourceAttributes")
    if attributes is None or attributes.get("namespace", "") != info.namespace:
        raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {info.namespace}")
    return _subject_access(core, review, info, user)


def _subject(spec: Obj) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _access(core: Core, kind: str, spec: Obj, user: User) -> Obj:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise invalid(kind, "authorization.k8s.io", "", [_one_of(resource is not None)])
    if resource is not None:
        attributes = Attributes(
            resource.get("verb", ""),
            resource.get("group", ""),
            resource.get("resource", ""),
            resource.get("subresource", ""),
            resource.get("namespace", ""),
            resource.get("name", ""),
        )
    else:
        assert path is not None
        attributes = Attributes(path.get("verb", ""), path=path.get("path", "") or "/")
    decision = core.authorizer.decide(user, attributes)
    status: Obj = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _one_of(both: bool) -> Cause:
    path = "spec.resourceAttributes"
    if both:
        return field.invalid(
            "spec.nonResourceAttributes", None, "cannot be specified in combination with resourceAttributes"
        )
    return field.invalid(path, None, "exactly one of nonResourceAttributes or resourceAttributes must be specified")


def _self_rules(core: Core, review: Obj, info: RequestInfo, user: User) -> Obj:
    namespace = review["spec"].get("namespace", "")
    if not namespace:
        raise bad_request("no namespace on request")
    resource_rules: list[Obj] = []
    path_rules: list[Obj] = []
    if MASTERS in user.groups:
        resource_rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        path_rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    for grant in core.authorizer.grants(user):
        if grant.namespace not in (None, namespace):
            continue
        for rule in grant.rules:
            if rule.get("resources"):
                kept = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({key: rule[key] for key in kept if rule.get(key)})
            if rule.get("nonResourceURLs") and grant.namespace is None:
                path_rules.append({key: rule[key] for key in ("verbs", "nonResourceURLs")})
    return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


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
