"""A worker that loses its broker at the worst moment: while it acknowledges what it was told."""

import os
from typing import Any

import pytest
from celery.worker import state
from kombu import Message

from icrstore.celery import app
from icrstore.messages import Request
from icrstore.vault.tasks import seal


class Channel:
    """A channel of the broker's, which may be gone."""

    no_ack_consumers = None

    def __init__(self, *, is_gone: bool) -> None:
        self.is_gone, self.answered = is_gone, 0

    def basic_ack(self, tag: str, multiple: bool) -> None:
        if self.is_gone:
            raise ConnectionError
        self.answered += 1


def told(channel: Channel, **besides: object) -> Request:
    headers: Any = {"id": "one", "task": seal.name, **besides}
    message = Message(
        body="[[], {}, {}]", channel=channel, delivery_tag="1", headers=headers,
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip
    return Request(
        message, app=app, task=seal, on_ack=message.ack_log_error,
        connection_errors=(ConnectionError,),
    )  # fmt: skip


@pytest.mark.parametrize("besides", [{}, {"expires": "2020-01-01T00:00:00+00:00"}])
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_worker_that_cannot_say_that_it_heard_ends(
    monkeypatch: pytest.MonkeyPatch, *, is_gone: bool, besides: dict[str, object]
) -> None:
    monkeypatch.setattr(state, "should_stop", None)
    channel = Channel(is_gone=is_gone)
    message = told(channel, **besides)
    if besides:
        assert message.revoked()  # too late: it is acknowledged and left
    else:
        message.on_accepted(str(os.getpid()), 0.0)
    message.acknowledge()
    assert channel.answered == (0 if is_gone else 1)
    assert state.should_stop == (os.EX_TEMPFAIL if is_gone else None)


def test_every_task_is_heard_so() -> None:
    app.loader.import_default_modules()
    ours: list[Any] = [task for name, task in app.tasks.items() if name.startswith("icrstore.")]
    assert len(ours) >= 5
    assert all(task.Request is Request for task in ours)
