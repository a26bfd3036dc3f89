"""`wherry token`: a credential in the form kubectl expects of an exec plugin (client.authentication.k8s.io ExecCredential)."""

from __future__ import annotations

import json
import os

import click

from wherry.api.types import Obj
from wherry.cli.asking import ask
from wherry.cli.session import Failed, options_of, system_options
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki

API_VERSION = "client.authentication.k8s.io/v1"
DURATION = 3600
INFO = "KUBERNETES_EXEC_INFO"
"""What kubectl tells a plugin: an ExecCredential whose apiVersion is the one it wants back."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "--namespace", help="Where the service account is.  [default: default]")
@click.option("--service-account", "account", help="Whose token; without it, the administrator's certificate.")
@click.option("--audience", "audiences", multiple=True, help="Whom the token is for, else this API; may be repeated.")
@click.option("--duration", type=int, help="Seconds the token is good for, at least 600.  [default: 3600]")
@click.option("-o", "--output", type=click.Choice(["exec", "text"]), default="exec", show_default=True)
@system_options
def command(
    state: State,
    name: str,
    namespace: str | None,
    account: str | None,
    audiences: tuple[str, ...],
    duration: int | None,
    output: str,
) -> None:
    """Print an ExecCredential for kubectl, or with `-o text` a service account's bare token."""
    if account is None and (namespace or audiences or duration is not None):
        raise click.UsageError("--namespace, --audience and --duration are for a token: name a --service-account")
    options = options_of(state)
    if account is None:
        if output == "text":
            raise Failed("the administrator has a certificate and no token: name a --service-account")
        status = administrator(state)
    else:
        status = token(
            state, options, namespace or "default", account, audiences, DURATION if duration is None else duration
        )
    if output == "text":
        click.echo(status["token"])
        return
    click.echo(
        json.dumps({"apiVersion": wanted_version(os.environ.get(INFO, "")), "kind": "ExecCredential", "status": status})
    )


def token(
    state: State,
    options: Options,
    namespace: str,
    account: str,
    audiences: tuple[str, ...] = (),
    duration: int = DURATION,
) -> Obj:
    """`token` and `expirationTimestamp` of a TokenRequest. Raises Failed."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    spec: Obj = {"expirationSeconds": duration, **({"audiences": list(audiences)} if audiences else {})}
    answer = ask(
        state,
        options,
        "POST",
        path,
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec},
    )
    status = answer["status"]
    return {"token": status["token"], "expirationTimestamp": status["expirationTimestamp"]}


def administrator(state: State) -> Obj:
    """The certificate of the kubeconfig entry. Raises Failed."""
    pki = Pki(state.pki)
    try:
        return {
            "clientCertificateData": pki.certificate("admin").read_text(),
            "clientKeyData": pki.key("admin").read_text(),
        }
    except OSError as error:
        raise Failed(f"cannot read {error.filename}: {error.strerror}") from None


def wanted_version(info: str) -> str:
    """The apiVersion kubectl asked for, of those an answer can have."""
    try:
        asked = json.loads(info).get("apiVersion") if info else API_VERSION
    except (ValueError, AttributeError):
        raise Failed(f"{INFO} is no ExecCredential in JSON") from None
    if asked not in (API_VERSION, f"{API_VERSION}beta1"):
        raise Failed(f"{INFO} asks for {asked}: {API_VERSION} and {API_VERSION}beta1 are answered")
    return str(asked)
