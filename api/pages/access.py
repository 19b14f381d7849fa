"""The subscriber's door: sign in with a one-time code, read who has looked, take the proof along.

Both cookies are HttpOnly and SameSite=Strict, so that no other site can send them; a POST that a
browser says another site began is refused before it is read.
"""

import ipaddress
import json
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, UnreadablePostError
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.given import is_short_name
from accounts.models import Tenant
from accounts.tenancy import of_tenant
from icrstore.celery import look
from icrstore.notices import entries, sign_in, tasks
from icrstore.notices.keyring import LOOKUP
from icrstore.notices.names import LookupKey
from icrstore.shell.keyfile import read_public_file

BROWSER, SESSION = "icr_browser", "icr_session"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MOST_FORM_BYTES = 4096
_STYLE = settings.BASE_DIR / "api" / "pages" / "style.css"

View = Callable[..., HttpResponse]


def page(view: View) -> View:
    """A view of one tenant: unknown tenants and foreign or oversized forms end here."""

    @wraps(view)
    def guarded(request: HttpRequest, tenant: str, **more: Any) -> HttpResponse:
        if not _is_known(tenant):
            return _page(request, "gone.html", {}, 404)
        if request.method == "POST" and not _is_own_form(request):
            return _page(request, "gone.html", {}, 400)
        return _sealed(view(request, tenant, **more))

    return guarded


@require_GET
@page
def record(request: HttpRequest, tenant: str) -> HttpResponse:
    """Who has looked; or the form to sign in."""
    found = record_of(request, tenant)
    if found is None:
        return _page(request, "sign_in.html", {"tenant": tenant})
    return _page(request, "record.html", {"tenant": tenant, "record": found})


@require_POST
@page
def ask(request: HttpRequest, tenant: str) -> HttpResponse:
    """Send a code, if the account is somebody's; the page does not say whether it is."""
    account = unicodedata.normalize("NFC", request.POST.get("account", "").strip())
    if not sign_in.is_account(account):
        said = {"tenant": tenant, "error": "That cannot be an account number."}
        return _page(request, "sign_in.html", said, 400)
    try:
        browser = sign_in.ask(
            tenant, account, _address(request), _lookup_key(), _notifier(), timezone.now()
        )
    except sign_in.TooMany:
        said = {"tenant": tenant, "error": "Too many codes were asked for. Try again in an hour."}
        return _page(request, "sign_in.html", said, 429)
    look(tasks.tell)
    response = _page(request, "code.html", {"tenant": tenant, "account": account})
    return _with_cookie(response, BROWSER, browser, tenant, sign_in.CODE_LIFE.seconds)


@require_POST
@page
def enter(request: HttpRequest, tenant: str) -> HttpResponse:
    """Take the code that was typed; every wrong way gets the same answer."""
    account, code = request.POST.get("account", ""), request.POST.get("code", "")
    try:
        token = sign_in.enter(
            tenant, account, request.COOKIES.get(BROWSER, ""), code, _lookup_key(), timezone.now()
        )
    except sign_in.NotSignedIn:
        said = {"tenant": tenant, "account": account, "error": True}
        return _page(request, "code.html", said, 403)
    response = HttpResponseRedirect(_home(tenant), status=303)
    response.delete_cookie(BROWSER, path=_home(tenant), samesite="Strict")
    return _with_cookie(response, SESSION, token, tenant, sign_in.SESSION_LIFE.seconds)


@require_POST
@page
def leave(request: HttpRequest, tenant: str) -> HttpResponse:
    sign_in.leave(tenant, request.COOKIES.get(SESSION, ""))
    response = HttpResponseRedirect(_home(tenant), status=303)
    response.delete_cookie(SESSION, path=_home(tenant), samesite="Strict")
    return response


@require_GET
@page
def proof(request: HttpRequest, tenant: str, entry: str) -> HttpResponse:
    """An entry's leaves as a file: what anyone needs to check it without us."""
    accesses = mine.entries if (mine := record_of(request, tenant)) else ()
    found = next((one for one in accesses if one.request == entry), None)
    if found is None or not found.is_proven:
        return _page(request, "gone.html", {"tenant": tenant}, 404)
    content = json.dumps(found.proof(tenant), indent=2, sort_keys=True, ensure_ascii=False)
    response = HttpResponse(content, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="access-{entry[:16]}.json"'
    return response


@require_http_methods(["GET"])
def style(request: HttpRequest) -> HttpResponse:
    response = _sealed(HttpResponse(_STYLE.read_bytes(), content_type="text/css; charset=utf-8"))
    response["Cache-Control"] = "max-age=3600"
    return response


def record_of(request: HttpRequest, tenant: str) -> entries.Record | None:
    """What whoever is signed in may read; None if nobody is."""
    now = timezone.now()
    try:
        return entries.read(sign_in.signed_in(tenant, request.COOKIES.get(SESSION, ""), now), now)
    except sign_in.NotSignedIn:
        return None


def _is_known(tenant: str) -> bool:
    """What cannot be a name is not asked for: PostgreSQL takes no zero byte in a text."""
    if not is_short_name(tenant):
        return False
    with of_tenant(tenant):
        return Tenant.objects.filter(name=tenant).exists()


def _page(
    request: HttpRequest, name: str, said: Mapping[str, Any], status: int = 200
) -> HttpResponse:
    shown = {**said, "one_host": settings.ONE_HOST}
    return _sealed(render(request, name, shown, status=status))


def _sealed(response: HttpResponse) -> HttpResponse:
    for name, value in HEADERS.items():
        response[name] = value
    return response


def _is_own_form(request: HttpRequest) -> bool:
    """A small form that no other site began, whole. Browsers that do not say are held by
    SameSite."""
    origin = request.headers.get("Sec-Fetch-Site", "same-origin")
    length = request.headers.get("Content-Length", "")
    is_small = length.isdecimal() and int(length) <= MOST_FORM_BYTES
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if origin not in ("same-origin", "none") or not is_small or not is_form:
        return False
    try:
        request.POST  # noqa: B018 - read here, once, since it may be cut off
    except UnreadablePostError:
        return False
    return True


def _with_cookie(
    response: HttpResponse, name: str, value: str, tenant: str, seconds: int
) -> HttpResponse:
    response.set_cookie(
        name, value, max_age=seconds, path=_home(tenant), httponly=True, samesite="Strict",
        secure=settings.SIGN_IN_URL.startswith("https:"),
    )  # fmt: skip
    return response


def _home(tenant: str) -> str:
    return f"/access/{quote(tenant, safe='')}"


def _address(request: HttpRequest) -> str:
    """Who asks. A proxy on this host says it last; from elsewhere nobody is believed about it."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return told if told and ipaddress.ip_address(peer).is_loopback else peer
    except ValueError:
        return peer


@cache
def _lookup_key() -> LookupKey:
    return LookupKey.read(settings.SECRETS / LOOKUP)


@cache
def _notifier() -> bytes:
    return read_public_file(settings.NOTIFIER_KEY).public
