"""`wherry access NAMESPACE[:ROLE]…`: credentials that reach one namespace each, for dev, staging and production.

Each gets a context `NAMESPACE@CONTEXT` whose user may in that namespace what the ClusterRole says, and nothing elsewhere.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from pathlib import Path

import click

from wherry.api import yaml
from wherry.api.types import Obj
from wherry.cli.granting import DAY_SECONDS, Granting, Make, Wanted
from wherry.cli.session import USAGE, Failed, fail, options_of, system_options
from wherry.cli.token import API_VERSION, token
from wherry.client import kubeconfig
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki

ROLE = "edit"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("wanted", nargs=-1, required=True, metavar="NAMESPACE[:ROLE]...")
@click.option(
    "--credential",
    type=click.Choice(["certificate", "token", "exec"]),
    default="certificate",
    show_default=True,
    help="A certificate, a service account's token, or a call of `wherry token` for a fresh one each time.",
)
@click.option("--days", type=click.IntRange(1, 365), default=90, show_default=True, help="How long it is good for.")
@click.option("-o", "--output", help="Write a kubeconfig of its own there, `-` prints it. [default: into yours]")
@click.option("--revoke", is_flag=True, help="Take away what was given in these namespaces, and the contexts.")
@system_options
def command(
    state: State, name: str, wanted: tuple[str, ...], credential: str, days: int, output: str | None, revoke: bool
) -> None:
    """Make namespaces, and for each a user bound to ROLE there (view, edit, admin or another ClusterRole; edit unless said).

    \b
    wherry access dev:admin staging:edit production:view
    kubectl --context staging@wherry get pods
    """
    options = options_of(state)
    accesses = [parse(text) for text in wanted]
    granting = Granting(state, options)
    if revoke:
        _revoke(granting, options, accesses)
        return
    for role in dict.fromkeys(access.role for access in accesses):
        granting.role_exists(role)
    make = maker(state, options, granting, credential, days)
    users = [(access, make(access)) for access in accesses]
    if output is not None:
        _export(state, options, users, output)
        return
    for access, user in users:
        context = context_of(access, options)
        file = kubeconfig.put(context, contents(state, options, access, user), current=False)
        click.echo(f"context {context} in {file}: {access.role} in namespace {access.namespace}")


def parse(text: str) -> Wanted:
    """NAMESPACE or NAMESPACE:ROLE; leaves with a usage error otherwise."""
    namespace, _, role = text.partition(":")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        fail(f"{text!r}: a namespace is lower-case letters, digits and '-', at most 63 characters", USAGE)
    if ":" in text and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", role):
        fail(f"{text!r}: after the colon comes the name of a ClusterRole such as view, edit or admin", USAGE)
    return Wanted(namespace, role or ROLE)


def context_of(access: Wanted, options: Options) -> str:
    return f"{access.namespace}@{options.context}"


def maker(state: State, options: Options, granting: Granting, credential: str, days: int) -> Make:
    """The function that makes everything for one access and answers with its kubeconfig user."""

    def make(access: Wanted) -> Obj:
        granting.namespace(access.namespace)
        if credential == "certificate":
            granting.user(access)
            certificate, key = granting.certificate(access, days)
            return {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
        granting.account(access)
        if credential == "token":
            return {"token": token(state, options, access.namespace, access.account, (), days * DAY_SECONDS)["token"]}
        return _plugin(state, access)

    return make


def _plugin(state: State, access: Wanted) -> Obj:
    """This very installation, asked each time; kubectl shows the hint when it is gone."""
    arguments = ["-m", "wherry", "token", "--state-dir", str(state.root), "-n", access.namespace]
    return {
        "exec": {
            "apiVersion": API_VERSION,
            "command": sys.executable,
            "args": [*arguments, "--service-account", access.account],
            "interactiveMode": "Never",
            "installHint": "wherry token answers for this context: is Wherry still installed there?",
        }
    }


def contents(state: State, options: Options, access: Wanted, user: Obj) -> dict[str, Obj]:
    name, ca = context_of(access, options), Pki(state.pki).ca.read_bytes()
    return kubeconfig.contents_of(name, server=options.server, ca=ca, user=user, namespace=access.namespace)


def _export(state: State, options: Options, users: list[tuple[Wanted, Obj]], output: str) -> None:
    """A file that can be given away: mode 0600, the first context is current."""
    config: Obj = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for access, user in users:
        name, found = context_of(access, options), contents(state, options, access, user)
        for section, key in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            config[section].append({"name": name, key: found[section]})
        config.setdefault("current-context", name)
    text = yaml.dump(config)
    if output == "-":
        click.echo(text, nl=False)
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except OSError as error:
        raise Failed(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"{many(len(users), 'context')} in {Path(output).absolute()}")


def _revoke(granting: Granting, options: Options, accesses: list[Wanted]) -> None:
    for access in accesses:
        count = granting.revoke(access.namespace)
        file = kubeconfig.remove(context_of(access, options))
        context = f", context {context_of(access, options)} in {file}" if file else ""
        click.echo(f"removed {many(count, 'object')} in namespace {access.namespace}{context}")


def many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
