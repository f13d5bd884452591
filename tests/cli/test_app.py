from septum.sdk.package import digest_of


def test_the_digest_is_printed_alone(septum, example):
    assert septum("app", "digest", example).out == f"{digest_of(example)}\n"


def test_no_code_of_the_app_runs_for_its_digest(septum, example, home):
    app = home / "app"
    app.mkdir()
    (app / "app.py").write_text(f"open({str(home / 'ran')!r}, 'w')")
    (app / "septum.toml").write_text((example / "septum.toml").read_text())
    assert septum("app", "digest", app).code == 0
    assert not (home / "ran").exists()
