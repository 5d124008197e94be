"""Generation by any OpenAI-compatible endpoint: every loop that does not touch weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from instar.errors import EngineError, MissingExtra
from instar.events import Progress
from instar.protocols import Context
from instar.types import Completion, Learner, Request, digest

KEY = "OPENAI_API_KEY"
FATAL = (401, 403, 404)  # a wrong key or model: no request can ever be served
BUSY = (408, 429)  # other 4xx are an answer: this request cannot be served, another may be


@dataclass
class OpenAIEngine:
    """An `Engine` over an endpoint that speaks OpenAI's chat completions.

    The key comes from the environment variable OPENAI_API_KEY alone and is never shown. A request
    that still fails after `retries` (429, 5xx, time-out, garbage) is a failed sample; `concurrency`
    of those in a row mean that nobody answers, and stop the run.

    Args:
        model: the endpoint's name of the model.
        base_url: the endpoint; None is OpenAI's own.
        timeout_s: seconds for one request.
        retries: how often a failed request is tried again, with growing pauses.
        concurrency: requests under way at once.
    """

    model: str
    base_url: str | None = None
    timeout_s: float = 120.0
    retries: int = 4
    concurrency: int = 8
    _client: Any = field(default=None, repr=False)
    _silence: int = field(default=0, repr=False)  # requests in a row that nobody answered

    def generate(
        self, requests: Sequence[Request], learner: Learner, context: Context, /
    ) -> list[tuple[Completion, ...]]:
        """Complete each request `n` times, one call for each sample.

        Raises:
            EngineError: for a key or model the endpoint refuses, an endpoint that does not answer
                any more, or a learner with an adapter.
        """
        if learner.adapter is not None:
            raise EngineError("an endpoint serves no adapters: weight updates need a local model")
        client = self._connected()
        jobs = [(r, s) for r in requests for s in range(r.n)]

        def one(job: tuple[Request, int]) -> Completion:
            made = self._complete(client, job[0], job[1], context.seed)
            context.emit(Progress(done=1 / job[0].n, tokens=made.tokens))
            return made

        made = _side_by_side(one, jobs, self.concurrency)
        found: list[tuple[Completion, ...]] = []
        at = 0
        for request in requests:
            found.append(tuple(made[at : at + request.n]))
            at += request.n
        return found

    def fingerprint(self, learner: Learner, context: Context, /) -> str:
        """Return a hash of model name and endpoint: the weights behind it cannot be seen."""
        return digest("openai", self.model, self.base_url)

    def facts(self) -> tuple[str, ...]:
        """Say which endpoint is asked for which model."""
        return (
            f"model: {self.model} at {self.base_url or 'the OpenAI API'}",
            "engine: endpoint; its weights cannot be seen, so the learner is its context only",
        )

    def _connected(self) -> Any:
        if self._client is None:
            if find_spec("openai") is None:
                raise MissingExtra("model openai:NAME needs pip install 'instar[openai]'")
            # Imported here: an optional extra that takes a second to load.
            from openai import OpenAI

            key = os.environ.get(KEY)
            if key is None and self.base_url is None:
                raise EngineError(f"model openai:{self.model}: set {KEY}, or give --base-url")
            self._client = OpenAI(
                api_key=key or "none",
                base_url=self.base_url,
                timeout=self.timeout_s,
                max_retries=self.retries,
            )
        return self._client

    def _complete(self, client: Any, request: Request, sample: int, seed: int) -> Completion:
        # Imported here: see `_connected`.
        from openai import APIError, APIStatusError

        try:
            answer = client.chat.completions.create(
                model=self.model,
                messages=[{"role": m.role, "content": m.content} for m in request.messages],
                temperature=request.sampling.temperature,
                top_p=request.sampling.top_p,
                max_tokens=request.sampling.max_tokens,
                seed=int(digest(seed, request.key, sample), 16) % 2**31,
            )
            made = _read(answer)
        except APIStatusError as error:
            told = f"{error.status_code}: {_scrubbed(str(error))}"
            if error.status_code in FATAL:
                raise EngineError(f"openai:{self.model} refused the request: {told}") from None
            answered = error.status_code < 500 and error.status_code not in BUSY
            return self._unanswered(told, reset=answered)
        except APIError as error:
            return self._unanswered(f"{type(error).__name__}: {_scrubbed(str(error))}")
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            told = f"{type(error).__name__}: {_scrubbed(str(error))}"
            return self._unanswered(f"the answer is no chat completion ({told})")
        self._silence = 0
        return made

    def _unanswered(self, told: str, reset: bool = False) -> Completion:
        """Fail a sample; if that was the last of many in a row, stop."""
        self._silence = 0 if reset else self._silence + 1
        if self._silence >= self.concurrency:
            raise EngineError(
                f"openai:{self.model}: {self.concurrency} requests in a row failed, the last with: "
                f"{told}"
            )
        return _failed(told)


def _side_by_side(
    call: Callable[[tuple[Request, int]], Completion],
    jobs: Sequence[tuple[Request, int]],
    threads: int,
) -> list[Completion]:
    """Return `call` of each job, in order.

    By threads that do not outlive the program: with an executor's, Ctrl-C would wait for a request
    that hangs.
    """
    results: list[Future[Completion]] = [Future() for _ in jobs]
    waiting: SimpleQueue[int] = SimpleQueue()
    over = Event()

    def work() -> None:
        while not over.is_set():
            try:
                number = waiting.get_nowait()
            except Empty:
                return
            try:
                results[number].set_result(call(jobs[number]))
            except BaseException as error:  # it is raised where the result is waited for
                results[number].set_exception(error)

    for number in range(len(jobs)):
        waiting.put(number)
    for _ in range(min(threads, len(jobs))):
        Thread(target=work, daemon=True).start()
    try:
        return [result.result() for result in results]
    finally:
        over.set()


def _read(answer: Any) -> Completion:
    """Return the completion in an endpoint's answer; whatever is odd in it fails this sample."""
    choice = answer.choices[0]
    text = choice.message.content
    if not isinstance(text, str):
        return _failed("the endpoint's answer holds no text")
    tokens = getattr(answer.usage, "completion_tokens", None)
    return Completion(
        text=_without_key(text.encode("utf-8", "replace").decode("utf-8")),
        tokens=tokens if isinstance(tokens, int) and tokens >= 0 else len(text.split()),
        finished=choice.finish_reason == "stop",
    )


def _failed(error: str) -> Completion:
    return Completion(text="", tokens=0, finished=False, error=error[:500])


def _scrubbed(text: str) -> str:
    return _without_key(text)[:400]


def _without_key(text: str) -> str:
    """Return `text` without the key, should the endpoint have echoed it."""
    key = os.environ.get(KEY)
    return text.replace(key, "***") if key else text
