import stat

import pytest

pytestmark = pytest.mark.served


@pytest.fixture
def enroll(septum, home, example):
    """Enrol with a token that no coordinator is there to take."""

    def call(
        *arguments,
        url="https://127.0.0.1:1",
        token="septum1_GIIN2wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHN0LW1hcnlz",
    ):
        return septum("silo", "enroll", "--url", url, "--token", token, "--dir", home / "silo", *arguments, "--json")

    return call


def test_silos_are_listed_invited_and_revoked(coordinator, septum):
    names = [silo["name"] for silo in septum("silo", "list", "--json").envelope["data"]["silos"]]
    assert names == ["boston", "gone"]
    invited = septum("silo", "invite", "austin", "--json").envelope["data"]
    assert invited["token"] == "septum1_secret"
    assert invited["command"] == (f"septum silo enroll --url {coordinator.url} --token septum1_secret --dir ./austin")
    assert invited["command"] in septum("silo", "invite", "austin").out
    assert septum("silo", "revoke", "boston").code == 0
    assert coordinator.asked[-1] == ("DELETE", "/api/v1/silos/boston")


def test_a_token_can_go_into_a_file_for_its_owner_alone_and_never_over_another(coordinator, septum, home):
    file = home / "austin.token"
    done = septum("silo", "invite", "austin", "--out", file, "--json")
    assert file.read_text() == "septum1_secret\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "secret" not in done.out + done.err
    assert done.envelope["data"]["command"].endswith(f"--token-file {file} --dir ./austin")
    asked = len(coordinator.asked)
    again = septum("silo", "invite", "austin", "--out", file)
    assert again.code == 2
    assert "is there already" in again.err
    assert len(coordinator.asked) == asked  # a token that cannot be kept is not made


def test_enrolling_reads_the_token_from_its_file(septum, enroll, home):
    file = home / "north.token"
    file.write_text("septum1_mistyped\n")
    done = enroll("--token-file", file)
    assert "its checksum is wrong" in done.envelope["error"]["message"]
    file.write_text("\n")
    assert "is empty" in enroll("--token-file", file).envelope["error"]["message"]
    bare = septum("silo", "enroll", "--url", "https://127.0.0.1:1", "--dir", home / "silo")
    assert bare.code == 2
    assert "--token-file" in bare.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--app", "heart=APP"], "--app heart has no data"),
        (["--data", "heart=FILE"], "no --app was given"),
        (["--app", "heart=APP", "--data", "hart=FILE"], "did you mean 'heart'?"),
        (["--app", "heart=APP", "--data", "heart=/no/such/file"], "there is no such file"),
        (["--app", "heart=/no/app", "--data", "heart=FILE"], "/no/app/septum.toml"),
    ],
)
def test_what_is_missing_is_said_before_the_token_is_used_up(arguments, message, enroll, example, home):
    data = example / "data" / "long-beach-va.data"
    done = enroll(*(item.replace("APP", str(example)).replace("FILE", str(data)) for item in arguments))
    assert done.code == 2
    assert message in done.envelope["error"]["message"]
    assert not (home / "silo").exists()


def test_a_mistyped_token_is_refused_without_being_quoted(enroll):
    done = enroll(token="septum1_mistyped")
    assert (done.code, done.envelope["error"]["code"]) == (2, "config")
    assert "mistyped" not in done.out + done.err.replace("cut or mistyped", "")


def test_enrolling_with_nobody_is_exit_code_4(enroll):
    assert enroll().code == 4


def test_starting_a_silo_that_never_enrolled_says_how_to_enrol(septum, home):
    done = septum("silo", "start", "--dir", home / "empty", "--json")
    assert done.code == 2
    assert "septum silo enroll" in done.envelope["error"]["hint"]
