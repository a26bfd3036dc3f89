"""Sends every line back, on 8080, for as long as the client likes."""

import socketserver


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


print("serves", flush=True)
Server(("0.0.0.0", 8080), Echo).serve_forever()
