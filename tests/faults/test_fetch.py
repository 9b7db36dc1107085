"""Downloads from a server that cuts, lies, fails and sends other bytes (on 127.0.0.1)."""

import contextlib
import errno
import hashlib
import http.server
import random
import threading
import urllib.request
from pathlib import Path

import pytest

from hplab.training.datasets import fetch as fetching
from hplab.training.datasets.fetch import Remote, fetch, verify
from hplab.trial import HplabError

CONTENT = random.Random(1).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


# ---------------------------------------------------------------------------------------------
# The server: each request is answered by the next behaviour, the last one for ever.


def honest(request, start):
    """Serve the file, resuming where asked."""
    answer(request, start, len(CONTENT) - start, CONTENT[start:])


def cut_after(n_bytes):
    """Promise the rest of the file, send `n_bytes` of it and hang up."""
    return lambda request, start: answer(
        request, start, len(CONTENT) - start, CONTENT[start : start + n_bytes]
    )


def lie_about_length(difference):
    """Promise more or fewer bytes than the file has; send the file."""
    return lambda request, start: answer(
        request, start, len(CONTENT) - start + difference, CONTENT[start:]
    )


def wrong_bytes(request, start):
    """Serve another file of the same length."""
    answer(request, start, len(CONTENT) - start, bytes(len(CONTENT) - start))


def ignore_range(request, start):
    """Always serve the whole file."""
    answer(request, 0, len(CONTENT), CONTENT)


def ignore_range_and_cut(request, start):
    """Always begin at the beginning and always break at the same byte."""
    answer(request, 0, len(CONTENT), CONTENT[:1000])


def endless(request, start):
    """Name no length and send more than the file."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(CONTENT + b"more")


def other_range(request, start):
    """Answer a request to resume with another part of the file."""
    request.send_response(206)
    request.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
    request.end_headers()
    request.wfile.write(CONTENT)


def stall(request, start):
    """Promise the file and send nothing for longer than the client waits."""
    answer(request, start, len(CONTENT), b"", flush=True)
    request.server.released.wait(5)


def status(code, **headers):
    """Answer with a status and no body."""

    def behave(request, start):
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()

    return behave


def answer(request, start, length, body, flush=False):
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(body)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        behaviours = self.server.behaviours
        behave = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        with contextlib.suppress(ConnectionError):
            behave(self, start)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """Return a function that starts a server with the given behaviours."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(*behaviours):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.behaviours, server.asked = list(behaviours), []
        server.released = threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/file.gz"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


def remote(*servers):
    urls = tuple(server if isinstance(server, str) else server.url for server in servers)
    return Remote("file.gz", len(CONTENT), DIGEST, urls)


def get(what, folder, **options):
    """Fetch without waiting between attempts; return the path and the waits asked for."""
    waits = []
    path = fetch(what, folder, sleep=waits.append, timeout_s=5.0, **options)
    return path, waits


def refusal(what, folder, **options):
    """Return the one line with which a fetch ends, having checked that no file came of it."""
    with pytest.raises(HplabError) as caught:
        fetch(what, folder, **{"sleep": lambda seconds: None, "timeout_s": 5.0} | options)
    assert not (folder / "file.gz").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------
# What arrives


def test_a_whole_download_is_the_file_and_leaves_no_part(mirror, tmp_path):
    path, waits = get(remote(mirror(honest)), tmp_path / "new" / "folder")

    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.gz"]
    assert waits == []


def test_a_file_already_there_is_not_asked_for_again(mirror, tmp_path):
    server = mirror(honest)
    get(remote(server), tmp_path)
    get(remote(server), tmp_path)

    assert len(server.asked) == 1


def test_a_broken_transfer_resumes_where_it_stopped(mirror, tmp_path):
    server = mirror(cut_after(100_000), cut_after(50_000), honest)
    path, _ = get(remote(server), tmp_path)

    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_the_part_of_an_earlier_session_is_resumed(mirror, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:123_456])
    server = mirror(honest)
    path, _ = get(remote(server), tmp_path)

    assert path.read_bytes() == CONTENT
    assert server.asked == ["bytes=123456-"]


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        (bytes(1000), ["bytes=1000-", None]),  # other bytes: found at the end, begun anew
        (bytes(len(CONTENT)), [None]),
        (CONTENT + b"more", [None]),
        (CONTENT, []),
    ],
    ids=["wrong start", "wrong whole", "too long", "whole"],
)
def test_what_an_earlier_session_left_is_never_trusted(mirror, tmp_path, part, asked):
    (tmp_path / "file.gz.part").write_bytes(part)
    server = mirror(honest)
    path, _ = get(remote(server), tmp_path)

    assert path.read_bytes() == CONTENT
    assert server.asked == asked


def test_a_server_that_cannot_resume_sends_it_all_again(mirror, tmp_path):
    path, _ = get(remote(mirror(cut_after(5000), ignore_range)), tmp_path)

    assert path.read_bytes() == CONTENT


def test_a_file_without_a_stated_length_is_taken(mirror, tmp_path):
    def unmeasured(request, start):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(CONTENT)

    path, _ = get(remote(mirror(unmeasured)), tmp_path)

    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "fault",
    [
        status(404),
        status(500),
        status(204),
        wrong_bytes,
        lie_about_length(7),
        lie_about_length(-7),
        ignore_range_and_cut,
        status(302, Location="http://nowhere.invalid/file.gz"),
        status(302, Location="ftp://127.0.0.1/file.gz"),
        status(302, Location="file:///etc/passwd"),
        status(302, Location="http://[bad/"),
    ],
)
def test_the_next_mirror_mends_what_one_does_wrong(mirror, tmp_path, fault):
    path, _ = get(remote(mirror(fault), mirror(honest)), tmp_path)

    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("behaviours", "says"),
    [
        ([status(404)], "HTTP 404"),
        ([status(503)], "HTTP 503"),
        ([wrong_bytes], f"expected {DIGEST}"),
        ([lie_about_length(7)], "offers 300007 bytes, expected 300000"),
        ([lie_about_length(-7)], "offers 299993 bytes, expected 300000"),
        ([cut_after(9), other_range], "another range"),
        ([cut_after(9), wrong_bytes], f"expected {DIGEST}"),
        ([ignore_range_and_cut], "connection cut 299000 bytes before the end"),
        ([status(302, Location="http://nowhere.invalid/x")], "not https"),
        ([status(302, Location="/again")], "HTTP 302"),
    ],
)
def test_a_refusal_names_the_mirror_the_fault_and_the_place(mirror, tmp_path, behaviours, says):
    server = mirror(*behaviours)
    line = refusal(remote(server), tmp_path)

    assert says in line
    assert f"127.0.0.1:{server.server_port}" in line
    assert f"put it at {tmp_path / 'file.gz'}" in line


def test_more_bytes_than_expected_are_never_read(mirror, tmp_path):
    path, _ = get(remote(mirror(endless)), tmp_path)

    assert path.read_bytes() == CONTENT


def test_a_mirror_with_other_bytes_is_not_asked_for_ever(mirror, tmp_path):
    """Once for the rest of what an earlier session left, once from the beginning."""
    (tmp_path / "file.gz.part").write_bytes(bytes(1000))
    server = mirror(wrong_bytes)
    refusal(remote(server), tmp_path)

    assert server.asked == ["bytes=1000-", None]


def test_a_silent_server_is_given_up(mirror, tmp_path):
    line = refusal(remote(mirror(stall)), tmp_path, timeout_s=0.05)

    assert "timed out" in line


def test_waits_double_while_nothing_arrives(mirror, tmp_path):
    waits = []
    with pytest.raises(HplabError):
        fetch(remote(mirror(status(500))), tmp_path, tries=4, sleep=waits.append)

    assert waits == [1, 2, 4]


def test_a_server_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    line = refusal(remote("http://127.0.0.1:9/file.gz"), tmp_path)

    assert "refused" in line


@pytest.mark.parametrize(
    "url", ["http://example.com/file.gz", "ftp://127.0.0.1/file.gz", "file:///etc/passwd"]
)
def test_only_https_is_spoken_to_others(tmp_path, url):
    assert "not https" in refusal(remote(url), tmp_path)


def test_no_redirect_leads_from_https_to_http():
    request = urllib.request.Request("https://example.com/file.gz")
    with pytest.raises(fetching._Refused, match="not https"):
        fetching._SafeRedirects().redirect_request(
            request, None, 302, "", {}, "http://127.0.0.1/file.gz"
        )


def test_only_digest_true_files_appear_under_the_final_name(mirror, tmp_path):
    """Random faults in random order: the file is right or absent, and often enough right."""
    draw = random.Random(7)
    delivered = 0
    for attempt in range(80):
        faults = [
            cut_after(draw.randrange(1, len(CONTENT))),
            cut_after(0),
            status(500),
            status(404),
            wrong_bytes,
            lie_about_length(draw.choice([-1, 1, 10**9])),
            ignore_range,
            other_range,
            endless,
            honest,
        ]
        servers = [mirror(*draw.choices(faults, k=4)) for _ in range(2)]
        folder = tmp_path / str(attempt)
        with contextlib.suppress(HplabError):
            get(remote(*servers), folder)
        final = folder / "file.gz"
        if final.exists():
            delivered += 1
            assert hashlib.sha256(final.read_bytes()).hexdigest() == DIGEST
    assert 20 < delivered < 80


# ---------------------------------------------------------------------------------------------
# This machine's side


def test_a_file_that_is_another_one_is_named_and_left_alone(mirror, tmp_path):
    (tmp_path / "file.gz").write_bytes(bytes(len(CONTENT)))
    with pytest.raises(HplabError) as caught:
        get(remote(mirror(honest)), tmp_path)

    got = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    assert all(text in str(caught.value) for text in (str(tmp_path / "file.gz"), got, DIGEST))
    assert (tmp_path / "file.gz").read_bytes() == bytes(len(CONTENT))


def test_verify_names_a_wrong_size_and_a_missing_file(tmp_path):
    with pytest.raises(HplabError, match="cannot read"):
        verify(tmp_path / "file.gz", remote())
    (tmp_path / "file.gz").write_bytes(b"short")
    with pytest.raises(HplabError, match="has 5 bytes, expected 300000"):
        verify(tmp_path / "file.gz", remote())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(mirror, tmp_path):
    (tmp_path / "file.gz.part").symlink_to("/dev/full")
    line = refusal(remote(mirror(honest)), tmp_path)

    assert "cannot write" in line
    assert "No space left" in line


def test_a_folder_that_cannot_be_made_is_named(mirror, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(HplabError, match="cannot write"):
        get(remote(mirror(honest)), tmp_path / "taken" / "folder")


def test_four_at_once_download_once(mirror, tmp_path):
    server = mirror(honest)
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(get(remote(server), tmp_path)[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [path.read_bytes() == CONTENT for path in paths] == [True] * 4
    assert len(server.asked) == 1


def test_it_works_where_files_cannot_be_locked(mirror, tmp_path, monkeypatch):
    class Unlockable:
        def __init__(self, path):
            assert path.parent.is_dir()

        def __enter__(self):
            raise OSError(errno.ENOLCK, "No locks available")

        def __exit__(self, *_):
            raise AssertionError("it was never entered")

    monkeypatch.setattr(fetching, "FileLock", Unlockable)
    path, _ = get(remote(mirror(honest)), tmp_path)

    assert path.read_bytes() == CONTENT


def test_the_file_is_synced_before_it_gets_its_name(mirror, tmp_path, monkeypatch):
    calls = []
    sync, replace = fetching.os.fsync, fetching.os.replace
    monkeypatch.setattr(fetching.os, "fsync", lambda fd: calls.append("sync") or sync(fd))
    monkeypatch.setattr(
        fetching.os, "replace", lambda a, b: calls.append("rename") or replace(a, b)
    )
    get(remote(mirror(honest)), tmp_path)

    assert calls == ["sync", "rename", "sync"]


def test_progress_counts_the_bytes_present(mirror, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:100_000])
    seen = []
    get(remote(mirror(honest)), tmp_path, progress=seen.append)

    assert seen == sorted(seen)
    assert (seen[0] > 100_000, seen[-1]) == (True, len(CONTENT))


def test_without_a_terminal_nothing_is_printed(mirror, tmp_path, capsys):
    get(remote(mirror(honest)), tmp_path)

    assert capsys.readouterr() == ("", "")
