"""What a subscriber is told by mail: that there is something new, and where to sign in as usual.

No link with a token, no authority, no count, no hour: a mailbox is read by others too, and whoever
imitates these messages must gain nothing by it.
"""

from icrstore.notices.mail import Message

_NEW = """\
There is a new entry in the record of who has looked at your connection data.

To read it, sign in as usual at {where}

We never send a link that signs you in, and never ask for anything by mail.
"""

_CODE = """\
Your sign-in code is {code}

Type it into the page where you asked for it. It works once, for ten minutes. Nobody from
your provider, and no authority, will ever ask you for it.

If you did not ask for a code, do nothing: without it nobody signs in.
"""

_CHANGED = """\
Your provider was given another address for messages about who has looked at your
connection data. Nothing more is sent to this one.

If you did not ask for that, call your provider.
"""


def new_entry(message_id: str, to: str, where: str) -> Message:
    return Message(message_id, to, "A new entry in your access record", _NEW.format(where=where))


def contact_changed(message_id: str, to: str) -> Message:
    return Message(message_id, to, "Your contact address was changed", _CHANGED)


def sign_in_code(message_id: str, to: str, code: str) -> Message:
    body = _CODE.format(code=f"{code[:4]} {code[4:]}")
    return Message(message_id, to, "Your sign-in code", body)
