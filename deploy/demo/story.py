"""The chapters in their order; each shows the commands and what came of them."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

from deploy.demo import authority, day, disk, keepers, provider, questions, subscriber
from deploy.demo.day import Day
from deploy.demo.outbox import Outbox
from deploy.demo.telling import Telling, say

LOOK_SECONDS = 0.3


def tell(telling: Telling, source: Path | None) -> str:
    """All chapters; the account that was asked about. Raises Untrue, and what a log raises."""
    say("icrstore: nobody reads these records unseen, because everyone can check")
    say("NOTE both keepers are on one host here, so they guard nothing from its owner")
    if not telling.site.layout.separated:
        say("NOTE not started by root: all processes share one uid, which separates nothing")
    outbox = Outbox(telling.site.layout.private("notifier", "outbox"))
    told = _provide(telling, source)
    answers = _ask(telling, told)
    _tell_subscriber(telling, told, outbox, [each.query for each in answers])
    _check(telling, [each.answer["purpose"] for each in answers])
    say("\nAll of it happened as promised.")
    return told.account


def _provide(telling: Telling, source: Path | None) -> Day:
    telling.chapter("An ISP joins, and its gateway becomes a collector")
    provider.join(telling)
    provider.enrol(telling)
    if source is None:
        telling.chapter("A made-up day of two homes behind one carrier-grade NAT")
        told = day.made_up(telling)
    else:
        telling.chapter(f"Your own log: {source.name}")
        told = day.own(telling, source)
    telling.chapter("The ISP says whom to tell; the gateway pushes")
    provider.load_subscribers(telling, told)
    provider.push(telling, told)
    return told


def _ask(telling: Telling, told: Day) -> list[authority.Answered]:
    telling.chapter("The police: whoever signs has a key, and a root that vouches for it")
    authority.prepare(telling)
    answers = []
    telling.chapter("First question: who held this address and port at this time?")
    if told.moments:
        answers.append(questions.resolve(telling, told))
    else:
        say("Not asked: this log's sources are private addresses and nothing is translated, so")
        say("nobody in it can be found by a public address. A NAT's log has one.")
    telling.chapter("Second question: which services does the account use?")
    answers.append(questions.services(telling, told))
    telling.chapter("Third question: did the account reach these networks?")
    answers.append(questions.reached(telling, told))
    telling.chapter("A client that checks nothing asks for one hour more than the warrant allows")
    keepers.refuse_one_hour_more(telling, told)
    return answers


def _tell_subscriber(telling: Telling, told: Day, outbox: Outbox, queries: list[str]) -> None:
    telling.chapter("Whoever was asked about is told")
    subscriber.read_message(outbox)
    telling.chapter("The subscriber signs in and reads who has looked")
    browser = subscriber.sign_in(telling, outbox, told.account)
    subscriber.read_page(browser, queries)
    telling.chapter("The subscriber takes the proof along and checks it offline")
    subscriber.take_proof(telling, browser, told.account, queries[-1])


def _check(telling: Telling, purposes: list[str]) -> None:
    telling.chapter("Anyone checks the answers offline, with one file that imports no other")
    for purpose in purposes:
        folder = f"{telling.case}/{purpose}"
        telling.show_verified(
            "anyone", "icr-verify", "answer", f"{folder}/proof.json", "--trust", "trust.json",
            "--answer", f"{folder}/answer.json",
        )  # fmt: skip
    telling.chapter("What both logs say now, and what it costs on disk")
    keepers.compare_logs(telling)
    say("\nAn auditor follows both logs from outside:")
    keepers.monitor(telling)
    disk.weigh(telling)


def go_on(telling: Telling, account: str) -> None:
    """Say how to go on, then print each message as it comes; ends when told to stop."""
    signal.signal(signal.SIGTERM, _end)
    url = telling.site.layout.url
    say(f"\nServing on {url} until Ctrl-C, or: sh deploy/demo.sh --stop")
    say(f"  Sign in at {url}/access/{telling.tenant} as {account}: each code is printed here.")
    say("  The commands above run in another terminal as they stand, after:")
    say(f"    cd {telling.folder} && . ./by-hand\n")
    outbox = Outbox(telling.site.layout.private("notifier", "outbox"))
    while True:
        for letter in outbox.new():
            code = letter.code()
            said = f"one-time code: {code}" if code else letter.subject
            say(f"{time.strftime('%H:%M:%S')} to {letter.to}: {said}")
        time.sleep(LOOK_SECONDS)


def _end(number: int, frame: FrameType | None) -> None:
    # Nothing is half done here, and so being told to stop is a good end.
    os._exit(0)
