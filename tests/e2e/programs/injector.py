"""A mutating webhook that adds a container to every pod it is asked about; /pki/tls.pem is its certificate and key."""

import base64
import http.server
import json
import ssl
import sys

SIDECAR = {"name": "side", "image": sys.argv[1], "command": ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"]}
PATCH = [{"op": "add", "path": "/spec/containers/-", "value": SIDECAR}]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        patch = base64.b64encode(json.dumps(PATCH).encode()).decode()
        said = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
        body = json.dumps({**review, "request": None, "response": said}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/pki/tls.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
