"""What the wire refuses, under one base with stable reason codes."""


class WireError(Exception):
    """Refused; `reason` is a stable code that tests and other machines may compare."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DigestRefused(WireError):
    """The Content-Digest is `malformed-digest`, or the body has another: `wrong-digest`."""


class SignatureRefused(WireError):
    """The request is not signed as it must be.

    Reasons: `no-signature`; `malformed-target` (not an origin-form target under a plain authority);
    `duplicate-header` (a covered header, or a signature's, came twice); `unknown-key`;
    `bad-signature` (malformed, of another algorithm or tag, or simply wrong); `ambiguous-signature`
    (two of ours); `missing-parameter`; `not-covered`; `wrong-time` (created too long ago or too far
    ahead, or expired); `malformed-digest`; `wrong-digest`. When signing, `unsignable`: a method not
    in capitals, or a header that no signature can cover.
    """


class CallFailed(WireError):
    """No whole answer came; the peer may or may not have done what was asked.

    Reasons: `unreachable` (also: too slow), `malformed-response`, `response-too-large`.
    """
