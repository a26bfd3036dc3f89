"""One question to the API as administrator, with the standard library only: commands that kubectl calls must be quick."""

from __future__ import annotations

import http.client
import json
import ssl

from wherry.api.types import Obj
from wherry.cli.session import Failed
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki

ANSWER_SECONDS = 30.0


class Refused(Failed):
    """The API answered with a failure; `code` is its HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def ask(
    state: State, options: Options, method: str, path: str, body: Obj | None = None, seconds: float = ANSWER_SECONDS
) -> Obj:
    """The answer, an object. Raises Refused, and Failed when there is no answer within `seconds`."""
    pki = Pki(state.pki)
    try:
        context = ssl.create_default_context(cafile=str(pki.ca))
        context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        connection = http.client.HTTPSConnection(options.address, options.port, timeout=seconds, context=context)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(
            f"the API server at {options.server} does not answer ({error}): `wherry status` shows why"
        ) from None
    try:
        found: Obj = json.loads(data)
    except ValueError:
        raise Refused(answer.status, data.decode(errors="replace")[:500]) from None
    if answer.status >= 400:
        raise Refused(answer.status, found.get("message") or f"{method} {path} answers {answer.status}")
    return found


def ensure(state: State, options: Options, path: str, obj: Obj) -> bool:
    """Create an object unless it is there. Whether it was created."""
    try:
        ask(state, options, "POST", path, obj)
    except Refused as error:
        if error.code != http.client.CONFLICT:
            raise
        return False
    return True
