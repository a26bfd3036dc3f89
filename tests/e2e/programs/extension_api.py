"""An API server for one kind: /pki/tls.pem is its certificate and key, /pki/proxy-ca.crt signs who may tell who asks."""

import http.server
import json
import ssl

GROUP = "birds.example.com"
VERBS = ["get", "list"]
DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1",
    "resources": [{"name": "owls", "singularName": "owl", "namespaced": False, "kind": "Owl", "verbs": VERBS}],
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        certificate = dict(pair for each in self.connection.getpeercert()["subject"] for pair in each)
        asked = {"user": self.headers["X-Remote-User"], "by": certificate["commonName"]}
        metadata = {"name": "asked", "annotations": asked}
        owl = {"kind": "Owl", "apiVersion": f"{GROUP}/v1", "metadata": metadata}
        answers = {
            f"/apis/{GROUP}/v1": DISCOVERY,
            f"/apis/{GROUP}/v1/owls": {"kind": "OwlList", "apiVersion": f"{GROUP}/v1", "metadata": {}, "items": [owl]},
            f"/apis/{GROUP}/v1/owls/asked": owl,
        }
        body = json.dumps(answers.get(path, {"kind": "Status", "status": "Failure", "code": 404})).encode()
        self.send_response(200 if path in answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/pki/tls.pem")
context.load_verify_locations("/pki/proxy-ca.crt")
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
