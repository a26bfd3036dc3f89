"""Serves HTTP on 8080: `/metrics` says that nine jobs wait, as Prometheus reads it."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"# TYPE waiting_jobs gauge\nwaiting_jobs 9\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


print("serves", flush=True)
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
