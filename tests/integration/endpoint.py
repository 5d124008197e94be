"""A chat endpoint on loopback that can add up, better when its system message shows how."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(words="The answer is {}"):
    """Give (address, bodies it was asked); `{}` in `words` is the answer, `{key}` the key sent."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            text = words.format(_answer(body), key=self.headers["authorization"])
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
            usage = {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6}
            answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
            written = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *words):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/v1", asked
    finally:
        made.shutdown()
        made.server_close()


def _answer(body):
    """Return the sum asked for; one too many when greedy and without examples."""
    question = body["messages"][-1]["content"]
    one, sign, two = re.search(r"(\d+) ([+-]) (\d+)", question).groups()
    total = int(one) + int(two) * (1 if sign == "+" else -1)
    taught = body["messages"][0]["role"] == "system"
    drawn_well = body["temperature"] > 0 and body["seed"] % 2
    return total if taught or drawn_well else total + 1
