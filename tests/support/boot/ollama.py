#!/usr/bin/python3
"""What stands in Ollama's place on a machine that boots: its commands, and as much of its API as a boot needs.

Simulated; it runs on the machine's own Python. A model is a file; `slow` is a page that takes a while.
"""

import json
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ
from pathlib import Path

MODELS = Path("/usr/share/ollama/models.json")
HOST, _, PORT = environ.get("OLLAMA_HOST", "127.0.0.1:11434").rpartition(":")
loaded = {}


def models():
    return json.loads(MODELS.read_text()) if MODELS.exists() else []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/api/version":
            self.say({"version": "0.0.0"})
        elif self.path == "/api/tags":
            self.say({"models": [{"name": name, "digest": "ab" * 32} for name in models()]})
        elif self.path == "/api/ps":
            self.say({"models": [{"name": name, "expires_at": at} for name, at in loaded.items()]})
        else:
            self.say({"error": "not found"}, 404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["model"]
        if self.path == "/api/pull":
            MODELS.write_text(json.dumps([*models(), name]))
            self.say({"status": "success"})
        elif name not in models():
            self.say({"error": f"model {name} not found"}, 404)
        elif self.path == "/api/show":
            self.say({"details": {}})
        else:
            loaded[name] = str(time.time() + 300)
            self.say({"model": name, "response": f"read: {asked['prompt']}", "done": True})

    def say(self, answer, status=200):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def ask(path, model):
    data = json.dumps({"model": model}).encode()
    urllib.request.urlopen(f"http://{HOST}:{PORT}/api/{path}", data=data, timeout=30).close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        ThreadingHTTPServer((HOST, int(PORT)), Handler).serve_forever()
    ask(sys.argv[1], sys.argv[2])
