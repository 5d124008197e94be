"""The endpoint engine against a real server on loopback that misbehaves in every way."""

import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from instar.engines.openai import OpenAIEngine
from instar.errors import EngineError
from instar.testing.fakes import context
from instar.types import Learner, Message, Request, Sampling

KEY = "sk-secret-key"
GOOD = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8},
}

ODD = {
    "garbage": "{not json",
    "no choices": json.dumps({**GOOD, "choices": []}),
    "null": json.dumps(GOOD).replace('"4"', "null"),
    "surrogate": json.dumps(GOOD).replace('"4"', '"\\ud800"'),
    "echo": json.dumps(GOOD).replace('"4"', f'"your key is {KEY}"'),
}


@pytest.fixture
def server():
    """A server that does what the prompt says; it keeps what it was asked."""
    asked, tried = [], {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(({k.lower(): v for k, v in self.headers.items()}, body))
            word = body["messages"][-1]["content"]
            tried[word] = tried.get(word, 0) + 1
            status, answer = 200, ODD.get(word, json.dumps(GOOD))
            if word == "busy once" and tried[word] == 1:
                status, answer = 429, "{}"
            elif word in ("429", "500", "400", "401", "404"):
                status, answer = int(word), json.dumps({"error": {"message": f"key {KEY}"}})
            elif word == "hang":
                time.sleep(1.5)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *words):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}/v1", asked
    made.shutdown()


@pytest.fixture
def engine(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return OpenAIEngine(model="m", base_url=server[0], timeout_s=0.5, retries=1)


def ask(engine, *words, n=1):
    requests = [
        Request(
            messages=(Message(role="user", content=w),),
            sampling=Sampling(temperature=0.5, max_tokens=9),
            n=n,
            key=w,
        )
        for w in words
    ]
    return engine.generate(requests, Learner(base="openai:m"), context())


def test_an_answer_is_a_completion(engine, server):
    made = ask(engine, "2 + 2 =", n=3)
    assert [c.text for c in made[0]] == ["4"] * 3
    assert all(c.finished and c.tokens == 7 and c.error is None for c in made[0])
    sent = [body for _, body in server[1]]
    assert {b["temperature"] for b in sent} == {0.5}
    assert {b["max_tokens"] for b in sent} == {9}
    assert len({b["seed"] for b in sent}) == 3


def test_a_busy_server_is_asked_again(engine):
    assert ask(engine, "busy once")[0][0].text == "4"


@pytest.mark.parametrize("word", ["429", "500", "garbage", "no choices", "null", "hang"])
def test_a_request_that_keeps_failing_fails_alone(engine, word):
    bad, good = ask(engine, word, "fine")
    assert bad[0].error
    assert bad[0].text == ""
    assert good[0].text == "4"


def test_an_endpoint_that_answers_nobody_stops_the_run(engine, server):
    engine.concurrency = 3
    with pytest.raises(
        EngineError, match="3 requests in a row failed, the last with: 500"
    ) as caught:
        ask(engine, "500", n=50)
    assert KEY not in str(caught.value)
    assert len(server[1]) < 20


def test_a_request_the_endpoint_refuses_is_an_answer_all_the_same(engine):
    engine.concurrency = 3
    assert all(c.error for c in ask(engine, "400", n=9)[0])


def test_a_key_that_the_endpoint_writes_into_its_answer_is_not_kept(engine):
    assert ask(engine, "echo")[0][0].text == "your key is ***"


def test_a_program_ends_while_a_request_hangs(engine):
    engine.timeout_s, started = 60.0, time.monotonic()
    with pytest.raises(EngineError, match="refused the request"):
        ask(engine, "401", "hang")
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize("word", ["401", "404"])
def test_a_refused_key_or_model_stops_the_run_without_showing_the_key(engine, word):
    with pytest.raises(EngineError, match=f"refused the request: {word}") as caught:
        ask(engine, word)
    assert KEY not in str(caught.value)


def test_the_key_is_nowhere_but_in_the_request(engine, server):
    made = ask(engine, "500")[0][0]
    shown = (repr(engine), engine.facts(), made.error, engine.fingerprint(Learner(base="m"), None))
    assert KEY not in str(shown)
    assert server[1][0][0]["authorization"] == f"Bearer {KEY}"


def test_a_lone_surrogate_can_be_stored(engine):
    assert ask(engine, "surrogate")[0][0].text.encode("utf-8")


def test_an_adapter_cannot_be_served(engine):
    learner = replace(Learner(base="openai:m"), adapter="a")
    with pytest.raises(EngineError, match="serves no adapters"):
        engine.generate([], learner, context())


def test_no_key_and_no_endpoint_is_one_sentence(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(EngineError, match="set OPENAI_API_KEY, or give --base-url"):
        ask(OpenAIEngine(model="m"), "hello")
