# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What the scripts beside this one share: a small HTTP client, starting a server, and obeying the test.
#
# Each of them starts a server, prints "READY {...}" with what the test must know, and then obeys lines on its standard
# input: "code CLIENT" signs the user in and prints "CODE {...}", "revoke" ends all that the user has and prints "DONE".
# It ends when its input does.
import base64
import ctypes
import hashlib
import html.parser
import http.cookiejar
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

CLIENT, SECRET = "sip-proxy", "the-secret-of-the-proxy"
PHONE = "sip-phone"
USER, PASSWORD, EMAIL = "alice", "correct horse battery", "alice@example.test"
REDIRECT = "http://127.0.0.1/callback"
PATIENCE = 60


class Stay(urllib.request.HTTPRedirectHandler):
    """Redirections are for the caller."""

    def redirect_request(self, *_):
        return None


class Api:
    """A client with cookies. Answers are (status, headers, text); nothing is an exception."""

    def __init__(self, base):
        self.base = base
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), Stay, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def send(self, method, url, body=None, headers=()):
        url = urllib.parse.urljoin(self.base, url)
        request = urllib.request.Request(url, method=method, data=body, headers=dict(headers))
        try:
            answer = self.opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as refused:
            answer = refused
        return answer.status, answer.headers, answer.read().decode(errors="replace")

    def json(self, method, url, value=None):
        """An answer of the 200s is asked for; anything else ends the script with it."""
        body = None if value is None else json.dumps(value).encode()
        status, _, text = self.send(method, url, body, {"Content-Type": "application/json", "Origin": self.base})
        if status not in range(200, 300):
            sys.exit(f"{method} {url}: {status} {text[:500]}")
        return json.loads(text) if text else None

    def form(self, url, fields, headers=()):
        body = urllib.parse.urlencode(fields).encode()
        return self.send("POST", url, body, headers)


def end_with_parent():
    """The kernel ends a server whose script was killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def start(command, **environment):
    environment = os.environ | {name: str(value) for name, value in environment.items()}
    command = [str(word) for word in command]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, preexec_fn=end_with_parent)


def wait_for(server, url):
    """Until the server answers anything at all."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the server has ended with {server.returncode}")
        try:
            return Api(url).send("GET", "")
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} does not answer")


class Forms(html.parser.HTMLParser):
    """The forms of a page: action, method, and what a browser would send."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append((attributes.get("action") or "", []))
        elif tag in ("input", "button") and self.forms and attributes.get("name"):
            self.forms[-1][1].append((attributes["name"], attributes.get("type") or "", attributes.get("value") or ""))


def filled(forms, consent):
    """The form that asks for the user or the consent: where it goes, and the fields."""
    for action, inputs in forms:
        fields = {}
        for name, kind, value in inputs:
            if kind == "password":
                fields[name] = PASSWORD
            elif name in ("login", "username", "user"):
                fields[name] = USER
            elif kind not in ("submit", "checkbox") or name in consent:
                fields[name] = consent.get(name, value)
        if fields.keys() - {"csrf_token", "csrfmiddlewaretoken"}:
            return action, fields
    return None


def sign_in(browser, endpoint, client, scope, consent=(), **more):
    """Walks the pages as the user's browser would; what the phone then has."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {"client_id": client, "response_type": "code", "redirect_uri": REDIRECT, "scope": scope, **more}
    query |= {"state": secrets.token_urlsafe(9), "nonce": secrets.token_urlsafe(9)}
    query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    url, fields = endpoint + "?" + urllib.parse.urlencode(query), None
    for _ in range(12):
        accept = {"Accept": "text/html", "Referer": url}
        if fields is None:
            status, headers, page = browser.send("GET", url, headers=accept)
        else:
            status, headers, page = browser.form(url, fields, accept)
        fields = None
        if headers["Location"]:
            url = urllib.parse.urljoin(url, headers["Location"])
            if url.startswith(REDIRECT):
                answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
                if "code" not in answer:
                    sys.exit(f"no code: {answer}")
                return {"code": answer["code"], "code_verifier": verifier, "redirect_uri": REDIRECT}
        elif found := filled(Forms(page).forms, dict(consent)):
            url, fields = urllib.parse.urljoin(url, found[0]), found[1]
        else:
            break
    sys.exit(f"the sign-in ends at {url}: {status} {page[:2000]}")


def obey(server, code, revoke, **facts):
    """Says that the server is ready, with what the test must know; then one command a line."""
    print("READY " + json.dumps(facts), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["code", client]:
                print("CODE " + json.dumps(code(client)), flush=True)
            case ["revoke"]:
                revoke()
                print("DONE", flush=True)
    server.terminate()
    server.wait()
