"""ServiceAccount: every pod runs as an account of its namespace and, unless someone says no, finds its token mounted.

What is injected is what Kubernetes injects: one projected volume `kube-api-access-xxxxx` with a bound token, the
cluster's CA and the namespace, at the path where in-cluster clients look.
"""

from __future__ import annotations

from wherry.api.resources import SERVICE_ACCOUNTS
from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.registry.object_meta import generate_name

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
"""An hour and seven seconds: recognizable as injected, as in Kubernetes."""
MIRROR = "kubernetes.io/config.mirror"
ATTEMPTS, RETRY_SECONDS = 10, 0.1
"""The default account of a namespace made a moment ago may still be on its way."""


class ServiceAccount:
    concerns = frozenset({("", "pods")})

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if pod is None or not request.is_for("", "pods", "CREATE"):
            return
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            self._mirror(request, pod["spec"])
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT_ACCOUNT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._find(request, name)
        if wants_token(spec, account):
            mount_token(spec, _token_volume_of(spec) or generate_name(PREFIX, request.context.rng))
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    def _mirror(self, request: AdmissionRequest, spec: Obj) -> None:
        """A pod the node already runs, shown in the API, may depend on nothing of the API."""
        if spec.get("serviceAccountName"):
            raise request.forbid("a mirror pod may not reference service accounts")

    async def _find(self, request: AdmissionRequest, name: str) -> Obj:
        context = request.context
        for attempt in range(ATTEMPTS):
            account = context.read.get(SERVICE_ACCOUNTS, name, request.namespace)
            if account is not None:
                return account
            if name != DEFAULT_ACCOUNT:
                break
            if attempt < ATTEMPTS - 1:
                await context.clock.sleep(RETRY_SECONDS)
        raise request.forbid(
            f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
        )


def wants_token(spec: Obj, account: Obj) -> bool:
    """The pod's word counts, then its account's, then yes."""
    for source in (spec, account):
        answer = source.get("automountServiceAccountToken")
        if answer is not None:
            return bool(answer)
    return True


def _token_volume_of(spec: Obj) -> str:
    """The volume of the first time, when the pod comes by again with a container that a webhook added."""
    names = (str(each.get("name", "")) for each in spec.get("volumes") or [])
    return next((name for name in names if name.startswith(PREFIX)), "")


def mount_token(spec: Obj, volume: str) -> None:
    """Mount at MOUNT_PATH in every container that has nothing there; a volume only if one needs it."""
    needed = False
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or []:
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            container["volumeMounts"] = [*mounts, {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}]
            needed = True
    if needed and not any(each.get("name") == volume for each in spec.get("volumes") or []):
        spec["volumes"] = [*(spec.get("volumes") or []), token_volume(volume)]


def token_volume(name: str) -> Obj:
    """What in-cluster clients expect: `token`, `ca.crt`, `namespace`."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 0o644,
        },
    }
