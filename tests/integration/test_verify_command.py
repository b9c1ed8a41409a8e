"""`keyferry verify` as scripts and people use it: exit codes, explanations, URLs, batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from gateway.cli.group import main
from tests.player import Player, sign
from tests.service import House
from tests.vectors.forge import VIDEO, TestKey

Ask = Callable[..., Result]
COMMAND = [sys.executable, "-m", "gateway", "verify", "--account"]
AWAY = "postgresql://keyferry@127.0.0.1:1/keyferry"


@pytest.fixture(scope="module")
def ask(house: House, player: Player) -> Ask:
    """Run the command on the player's account, in this process."""
    account = player.tenant.account_id

    def ask(*arguments: str, account: str = account, **settings: str) -> Result:
        environ = {"KEYFERRY_DATABASE_URL": house.dsn, **settings}
        given = ["verify", "--account", account, *arguments]
        result = CliRunner().invoke(main, given, env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "eyJ" not in result.output
        return result

    return ask


def documents(ask: Ask, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(*arguments, "--output", "json").stdout)
    return found


def failed(document: dict[str, Any]) -> dict[str, str]:
    """Return the advice on each check that failed, by its name."""
    return {
        check["check"]: check["advice"]
        for check in document["checks"]
        if check["result"] == "failed"
    }


# --- exit codes ------------------------------------------------------------------------------


def test_it_ends_with_0_for_plays_and_1_for_refused(ask: Ask, player: Player, key: TestKey) -> None:
    text = sign(key)
    played = ask(text, "--subject", VIDEO)
    assert (played.exit_code, played.stderr) == (0, "")
    assert "reason      allowed" in played.stdout
    for refused, reason in [
        (ask(text, "--subject", "other"), "subject_mismatch"),
        (ask(sign(key, exp=1)), "expired"),
        (ask("x"), "token_malformed"),
        (ask("\x1b[31m\udcff"), "token_malformed"),
        (ask(text, account=player.tenant.make_account().account_id), "key_unknown"),
    ]:
        assert (refused.exit_code, refused.stderr) == (1, "")
        assert f"reason      {reason}" in refused.stdout
    lost = player.make_key()
    player.delete(lost)
    assert ask(sign(lost)).exit_code == 1


NOT_ASKED = {
    "no account": (["x"], {"account": uuid4().hex}, "there is no account"),
    "no id": (["x"], {"account": "eyJ" + "a" * 100}, "this is no id"),
    "no database": (["x"], {"KEYFERRY_DATABASE_URL": AWAY}, "cannot use the database"),
    "bad settings": (["x"], {"KEYFERRY_LEEWAY": "long"}, "KEYFERRY_LEEWAY"),
    "no token": ([], {}, "Which token?"),
    "two tokens": (["eyJx", "eyJy"], {}, "One TOKEN"),
    "token and batch": (["eyJx", "--batch", "-"], {}, "One TOKEN"),
    "explain and batch": (["--batch", "-", "--explain"], {}, "--explain is for one token"),
    "no file": (["--batch", "/nowhere/tokens"], {}, "No such file"),
    "a folder": (["--batch", "/"], {}, "Is a directory"),
    "an empty file": (["--batch", os.devnull], {}, "there is no token in"),
    "url and subject": (["--url", "/a", "--subject", "a"], {}, "both say what is played"),
    "no url": (["--url", "my-video"], {}, "--url should begin"),
    "prefix alone": (["x", "--prefix", "/vod"], {}, "--prefix goes with --url"),
    "no prefix": (["--url", "/a", "--prefix", "/../vod"], {}, "is not a prefix"),
    "no option": (["x", "--nope"], {}, "No such option"),
}


@pytest.mark.parametrize("name", NOT_ASKED)
def test_it_ends_with_2_when_it_could_not_ask(ask: Ask, name: str) -> None:
    arguments, settings, sentence = NOT_ASKED[name]
    result = ask(*arguments, **settings)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr


# --- explanations ----------------------------------------------------------------------------


def test_it_explains_every_check_in_order(ask: Ask, key: TestKey) -> None:
    played = documents(ask, sign(key), "--explain")
    assert {check["result"] for check in played["checks"]} == {"ok"}
    assert len(played["checks"]) == 16
    assert abs(played["clock_behind_database"]) < 5
    late = sign(key, exp=int(time.time()) - 180)
    refused = documents(ask, late, "--explain", "--subject", "other", "--download")
    assert refused["reason"] == "expired"
    assert failed(refused) == {
        "exp": "The token expired 3 minutes ago: sign a new one.",
        "subject": f"The token is for '{VIDEO}', and 'other' is played: sign one for that.",
        "download": 'Sign with "downloadable": true.',
    }
    broken = documents(ask, late[:-4] + "AAAA", "--explain")
    assert list(failed(broken)) == ["signature"]
    assert broken["checks"][-1]["result"] == "not reached"


def test_it_explains_to_people(ask: Ask, key: TestKey) -> None:
    result = ask(sign(key, exp=int(time.time()) - 180), "--explain")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("failed"))
    assert lines[at].split(maxsplit=2) == ["failed", "exp", "The token's exp has passed."]
    assert lines[at + 1].strip() == "The token expired 3 minutes ago: sign a new one."
    assert sum(line.startswith("ok ") for line in lines) == 15


def test_it_explains_what_became_of_a_key(ask: Ask, player: Player) -> None:
    key, other = player.make_livepeer_key(), player.tenant.make_account().account_id
    text = sign(key)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    found = json.loads(ask(text, "--explain", "--output", "json", account=other).stdout)
    assert failed(found) == {
        "key": f"The key is of another account: ask with --account {player_id(player)}."
    }
    player.disable(key)
    assert f"disabled at {today}" in failed(documents(ask, text, "--explain"))["key"]
    player.disable(key, disabled=False)
    assert documents(ask, text, "--explain")["allowed"]
    player.livepeer.send("delete_key", key.id).raise_for_status()
    assert f"deleted at {today}" in failed(documents(ask, text, "--explain"))["key"]


def player_id(player: Player) -> str:
    text = player.tenant.account_id
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def test_it_explains_which_rule_blocks(ask: Ask, key: TestKey) -> None:
    rules = [{"type": "ip.geoip.country", "action": "block", "country": ["FR"]}]
    text = sign(key, accessRules=rules)
    advice = "Add --country; a trusted proxy tells it in the header of KEYFERRY_COUNTRY_HEADER."
    assert failed(documents(ask, text, "--explain")) == {"access rules": advice}
    blocked = documents(ask, text, "--explain", "--country", "FR")
    assert failed(blocked) == {"access rules": "Rule 1 blocks FR: sign with other accessRules."}
    assert documents(ask, text, "--explain", "--country", "DE")["allowed"]


# --- what is played --------------------------------------------------------------------------

# A URL with {video} and {token} in it, more options, and the reason.
URLS: dict[str, tuple[str, list[str], str]] = {
    "query": ("https://h.example/{video}/index.m3u8?jwt={token}", [], "allowed"),
    "fragment": ("https://h.example/{video}/index.m3u8?token={token}#t=10", [], "allowed"),
    "place": ("https://h.example/hls/{token}/seg.ts", [], "allowed"),
    "path": ("/{video}.m3u8?jwt={token}", [], "allowed"),
    "known prefix": ("/asset/hls/video+{video}/a.ts?jwt={token}", [], "allowed"),
    "unknown prefix": ("/i/VOD/{video}/a.ts?jwt={token}", [], "subject_mismatch"),
    "prefix": ("/i/VOD/{video}/a.ts?jwt={token}", ["--prefix", "/i/VOD"], "allowed"),
    "another video": ("/other/{video}/a.ts?jwt={token}", [], "subject_mismatch"),
    "dots": ("/other/../{video}/a.ts?jwt={token}", [], "path_ambiguous"),
    "dots and no token": ("/other/../{video}/a.ts", [], "path_ambiguous"),
    "no token": ("https://h.example/{video}/index.m3u8", [], "token_missing"),
    "no path": ("https://h.example?jwt={token}", [], "subject_mismatch"),
    "a download": ("/{video}/downloads/a.mp4?jwt={token}", [], "download_refused"),
    "beyond ASCII": ("/vidéo/a.ts?jwt={token}", [], "path_ambiguous"),
}


@pytest.mark.parametrize("name", URLS)
def test_it_reads_a_url_as_an_edge_does(ask: Ask, player: Player, key: TestKey, name: str) -> None:
    pattern, options, reason = URLS[name]
    url = pattern.format(video=VIDEO, token=sign(key))
    document = documents(ask, "--url", url, *options, "--explain")
    assert document["reason"] == reason
    if not options:
        path = url.removeprefix("https://h.example").partition("#")[0]
        if path.isascii() and path.startswith("/"):
            assert player.ask(path).headers["x-auth-reason"] == reason


def test_a_token_of_its_own_goes_before_the_one_in_the_url(ask: Ask, key: TestKey) -> None:
    url = f"/{VIDEO}/a.ts?jwt={sign(key, exp=1)}"
    assert documents(ask, "--url", url)["reason"] == "expired"
    assert documents(ask, sign(key), "--url", url)["reason"] == "allowed"


# --- batches ---------------------------------------------------------------------------------


def test_it_sums_up_a_batch_by_reason(ask: Ask, key: TestKey, tmp_path: Path) -> None:
    good, late = sign(key).encode(), sign(key, exp=1).encode()
    unknown = sign(key, {"alg": "RS256", "kid": uuid4().hex}).encode()
    file = tmp_path / "tokens.txt"
    file.write_bytes(
        b"\xef\xbb\xbf" + good + b"\r\n\n  \t\n" + late + b"\n  " + good + b"  \n"
        + b"x" * 200_000 + b"\n" + b"\xff\x00\x1b[31m\n" + unknown + b"\n" + late
    )  # fmt: skip
    document = documents(ask, "--batch", str(file))
    counts = {each["reason"]: each["tokens"] for each in document["reasons"]}
    first = {each["reason"]: each["first_lines"] for each in document["reasons"]}
    assert (document["tokens"], document["allowed"], document["refused"]) == (7, 2, 5)
    assert counts == {
        "allowed": 2, "expired": 2, "token_too_large": 1, "token_malformed": 1, "key_unknown": 1
    }  # fmt: skip
    assert first == {
        "allowed": [1, 5], "expired": [4, 9], "token_too_large": [6], "token_malformed": [7],
        "key_unknown": [8],
    }  # fmt: skip
    text = ask("--batch", str(file))
    assert text.exit_code == 1
    assert "expired" in text.stdout
    file.write_bytes(good + b"\n\n" + good)
    assert ask("--batch", str(file), "--subject", VIDEO).exit_code == 0
    assert ask("--batch", str(file), "--url", f"/hls/{VIDEO}/a.ts").exit_code == 0
    assert ask("--batch", str(file), "--url", "/hls/other/a.ts").exit_code == 1


def command(player: Player, house: House, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, player.tenant.account_id, *arguments, "--output", "json"],
        env={"PATH": os.defpath, "KEYFERRY_DATABASE_URL": house.dsn},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_it_takes_a_token_from_standard_input(player: Player, house: House, key: TestKey) -> None:
    with command(player, house, "-") as process:
        out, errors = process.communicate(f"  {sign(key)}\n".encode(), timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert json.loads(out)["allowed"]


def test_it_judges_twenty_thousand_tokens_in_little_memory(
    player: Player, house: House, key: TestKey
) -> None:
    """New and known ones, as they come: no more is kept than is being judged."""
    keys = [key, player.make_key()]
    texts = [sign(keys[number % 2], n=number) for number in range(400)]
    texts += [sign(key, {"alg": "RS256", "kid": uuid4().hex}) for _ in range(100)]
    begin = time.monotonic()
    with command(player, house, "--batch", "-") as process:
        assert process.stdin is not None
        for _ in range(40):
            process.stdin.write("\n".join([*texts, ""]).encode())
        peak = Path(f"/proc/{process.pid}/status").read_text()
        out, errors = process.communicate(timeout=60)
    document = json.loads(out)
    counts = {each["reason"]: each["tokens"] for each in document["reasons"]}
    assert (process.returncode, errors, counts) == (
        1, b"", {"allowed": 16_000, "key_unknown": 4_000}
    )  # fmt: skip
    [line] = [line for line in peak.splitlines() if line.startswith("VmHWM")]
    assert int(line.split()[1]) < 150_000
    assert time.monotonic() - begin < 30


def test_a_signal_ends_it_while_it_waits_for_a_line(
    player: Player, house: House, key: TestKey
) -> None:
    with command(player, house, "--batch", "-") as process:
        assert process.stdin is not None
        process.stdin.write(sign(key).encode() + b"\n")
        process.stdin.flush()
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
