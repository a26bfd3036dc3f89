"""What workloads with a selector and a template share: the selector must pick the template's pods, and restart them.

Paths and texts differ a little between kinds, as they do in Kubernetes.
"""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_defaults, pod_warnings
from wherry.apiserver.registry.built_in import BuiltIn, section
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_spec, selectors


class Workload(BuiltIn):
    """A kind with `spec.selector` and `spec.template`."""

    def default(self, obj: Obj) -> None:
        super().default(obj)
        pod_defaults.default_template(section(obj["spec"], "template"))

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        template = obj["spec"]["template"]
        if old is not None and old["spec"].get("template") == template:
            return []
        return pod_warnings.template(template, "spec.template")


def selector_matches(selector: Obj | None, labels: Obj | None) -> bool:
    """Whether a LabelSelector picks these labels; no selector picks nothing."""
    return selector is not None and Selector.from_object(selector).matches(labels or {})


def selector_rules(selector: Obj | None, empty_text: str, path: str = "spec.selector") -> list[Cause]:
    """`spec.selector` by itself; a workload may not pick everything."""
    causes = selectors.label_selector(selector, path)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(f.invalid(path, selector, empty_text))
    return causes


def usable(selector: Obj | None) -> bool:
    """Whether a selector can be evaluated at all."""
    return not selectors.label_selector(selector, "")


def template_rules(spec: Obj, owner: str, path: str = "spec.template") -> list[Cause]:
    """The template of a workload whose pods always run. `owner` names it in the text about deadlines."""
    template, selector = f.as_dict(spec.get("template")), spec.get("selector")
    labels = f.as_dict(template.get("metadata")).get("labels")
    causes: list[Cause] = []
    empty = selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions")
    if not empty and not selector_matches(selector, labels):
        causes.append(f.invalid(f"{path}.metadata.labels", f.in_order(labels), selectors.MISMATCH))
    causes += pod_spec.template(template, path)
    pod = f.as_dict(template.get("spec"))
    policy = pod.get("restartPolicy")
    if policy in ("Never", "OnFailure"):
        causes.append(f.not_supported(f"{path}.spec.restartPolicy", policy, ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {owner} is not Supported"
        causes.append(f.forbidden(f"{path}.spec.activeDeadlineSeconds", detail))
    return causes


def counts(status: Obj, *keys: str) -> list[Cause]:
    """Counters of a status: not negative."""
    return [cause for key in keys for cause in f.non_negative(status.get(key), f"status.{key}")]


def at_most(status: Obj, keys: tuple[str, ...], bound: str, text: str) -> list[Cause]:
    """Counters that cannot be greater than another one."""
    limit = status.get(bound) or 0
    return [
        f.invalid(f"status.{key}", status.get(key) or 0, f"cannot be greater than {text}")
        for key in keys
        if (status.get(key) or 0) > limit
    ]


def collisions(status: Obj, old: Obj) -> list[Cause]:
    """How often the hash of a template was somebody else's never goes down, or nobody would find a free one."""
    before, now = f.as_dict(old.get("status")).get("collisionCount"), status.get("collisionCount")
    if before is None or (now is not None and now >= before):
        return []
    return [f.invalid("status.collisionCount", now or 0, "cannot be decremented")]
