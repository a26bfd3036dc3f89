"""The second half of `wherry up PATH`: build, apply, wait."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.aio.clock import RealClock
from wherry.api.errors import StatusError
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.cli.apply import Applied, apply, in_order, title
from wherry.cli.connect import connect
from wherry.cli.progress import Progress
from wherry.cli.session import Failed
from wherry.cli.sources.bundle import Bundle
from wherry.cli.sources.pinning import with_built
from wherry.cli.waiting import Unready, wait_ready
from wherry.client.rest import Client
from wherry.cluster.options import Options
from wherry.cluster.paths import State


async def bring_up(
    state: State, options: Options, bundle: Bundle, namespace: str, progress: Progress, timeout: float | None
) -> None:
    """Build, apply, wait. Raises Failed with every reason."""
    scheme = Scheme.load(options.kubernetes_version)
    built: dict[str, str] = {}
    if bundle.artifacts:
        from wherry.cli.building import build_all

        built = await build_all(state, bundle.artifacts, progress)
    async with connect(state, options) as connection:
        applied = await _apply_all(
            connection.client, scheme, with_built(bundle.objects, built), bundle.namespace or namespace, progress
        )
        if timeout is None:
            return
        try:
            await wait_ready(connection, applied, progress, timeout, RealClock())
        except Unready as error:
            raise Failed(str(error)) from None


async def _apply_all(
    client: Client, scheme: Scheme, objects: Sequence[Obj], namespace: str, progress: Progress
) -> list[Applied]:
    applied: list[Applied] = []
    refused: list[str] = []
    for obj in in_order(objects):
        try:
            result = await apply(client, scheme, obj, namespace)
        except StatusError as error:
            resource = scheme.by_kind(str(obj.get("apiVersion")), str(obj.get("kind")))
            where = title(resource, obj) if resource else str(obj.get("kind"))
            progress.update(where, error.message, "failed")
            refused.append(f"{where}: {error.message}")
            continue
        applied.append(result)
        mark = "unchanged" if result.outcome == "unchanged" else "done"
        progress.update(result.title, result.outcome, mark)
    if refused:
        raise Failed("the API refused " + "\n  ".join(refused))
    return applied
