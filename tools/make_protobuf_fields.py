"""Pack the protobuf field table for the package: message -> [number, name, type, "r" if repeated].

python tools/make_protobuf_fields.py tests/reference/protobuf-fields.json src/wherry/apiserver/protobuf_fields.xz
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path

SERVED = ("k8s.io.api.", "k8s.io.apimachinery.", "k8s.io.apiextensions_apiserver.", "k8s.io.kube_aggregator.")


def main(source: str, target: str) -> None:
    table = json.loads(Path(source).read_text())
    kept = {message: fields for message, fields in sorted(table.items()) if message.startswith(SERVED)}
    text = json.dumps(kept, separators=(",", ":"))
    Path(target).write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main(*sys.argv[1:])
