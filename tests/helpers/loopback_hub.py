"""A Hugging Face hub on this machine, with the routes that a download needs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = "---\nlicense: other\ntags:\n- vision\n---\n\n# A model\n\nlicense: of the data\n"


class _Handler(BaseHTTPRequestHandler):
    """Answers like the hub; the server has the repositories."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0].strip("/")
        for name, folder in self.server.repositories.items():
            if path in (f"api/models/{name}", f"api/models/{name}/revision/main"):
                files = [p.relative_to(folder).as_posix() for p in folder.rglob("*.*")]
                content = {"id": name, "sha": COMMIT, "tags": []}
                content["siblings"] = [{"rfilename": file} for file in sorted(files)]
                return self._send(200, json.dumps(content).encode(), {}, with_body)
            start = f"{name}/resolve/main/"
            if path.startswith(start) and not self.server.gives_files:
                return self._send(403, b"", {}, with_body)
            if path.startswith(start) and (folder / path.removeprefix(start)).is_file():
                body = (folder / path.removeprefix(start)).read_bytes()
                tag = {"ETag": f'"{sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
                return self._send(200, body, tag, with_body)
        found = any(name in path for name in self.server.repositories)
        code = {"X-Error-Code": "RevisionNotFound" if found else "RepoNotFound"}
        return self._send(404, b"", code, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def served(repositories: dict[str, Path]) -> Iterator[ThreadingHTTPServer]:
    """Serve folders as repositories: OWNER/NAME -> folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.repositories, server.requests, server.gives_files = repositories, [], True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def address_of(server: ThreadingHTTPServer) -> str:
    """Return the value for HF_ENDPOINT."""
    return f"http://127.0.0.1:{server.server_port}"


def use_hub(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process use a hub, as HF_ENDPOINT and HF_HUB_CACHE would let a new one."""
    from huggingface_hub import constants

    from mmproscale.checkpoints import hub

    hub._fetch.cache_clear()
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
