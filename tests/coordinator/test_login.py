"""Signing in: sessions that end, cookies, second factors, and what somebody who guesses is told."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from http.cookies import SimpleCookie

import pytest
from argon2 import PasswordHasher
from tests.coordinator.running import Running
from tests.coordinator.support import engine, feed_of
from tests.coordinator.visitors import PASSWORD, Visitor, invited, operator, person, signed_in

from septum.adapters.store.open import open_store
from septum.coordinator import totp
from septum.coordinator.account import Account
from septum.coordinator.attempts import PER_ADDRESS, PER_PAIR, WINDOW_S, Attempts
from septum.coordinator.audit import Audit
from septum.coordinator.login import CODES, Lifetimes, Login, secret_hash
from septum.coordinator.passwords import MAX_WAITING, Passwords, check_new
from septum.errors import AuthError, ConfigError, PasswordChangeError, RateLimitedError, SecondFactorError
from septum.ports.people import Person
from septum.protocol.people_views import ConfirmTotp, NewToken, SignIn
from septum.protocol.rights import Grant, Role

pytestmark = pytest.mark.served

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    yield running
    running.stop()


class Door:
    """Login and account over a real store, with a clock that the test sets and one person, Ada."""

    def __init__(self, e, stores):
        self.clock = e.clock
        self.audit = Audit(stores.audit, e.driver.performer, e.clock)
        lifetimes = Lifetimes(session_s=DAY_S, idle_s=600.0)
        self.login = Login(stores.credentials, stores.sessions, e.clock, b"operator", feed_of(e), self.audit, lifetimes)
        self.login.passwords = Passwords(CHEAP)
        self.account = Account(
            stores.credentials, stores.sessions, self.login, e.clock, "septum", feed_of(e), self.audit
        )
        self.stores = stores
        stores.people.add(Person("ada", grants=(Grant(Role.VIEWER),)), secret_hash("once"), until=e.clock.unix() + 100)

    async def enter(self, **given):
        return await self.login.sign_in(SignIn(**{"name": "ada", "password": PASSWORD, **given}), "192.0.2.1")


@pytest.fixture
async def door(tmp_path, anyio_backend):
    async with engine() as e:
        with open_store(tmp_path / "data") as stores:
            yield Door(e, stores)


@pytest.mark.anyio
async def test_a_session_ends_when_nothing_is_asked_for_too_long(door):
    opened = await door.enter(password="once", new_password=PASSWORD)
    for _ in range(3):
        door.clock.advance(599.0)
        assert (await door.login.caller(opened.token)).name == "ada"
    door.clock.advance(600.0)
    with pytest.raises(AuthError, match="expired"):
        await door.login.caller(opened.token)
    door.clock.jump(-600.0)
    with pytest.raises(AuthError, match="ended"):  # for good
        await door.login.caller(opened.token)


@pytest.mark.anyio
async def test_a_session_ends_after_its_time_whatever_is_done(door):
    opened = await door.enter(password="once", new_password=PASSWORD)
    for _ in range(int(DAY_S / 500)):
        door.clock.advance(500.0)
        await door.login.caller(opened.token)
    door.clock.advance(DAY_S - 500.0 * int(DAY_S / 500))
    with pytest.raises(AuthError, match="expired"):
        await door.login.caller(opened.token)


@pytest.mark.anyio
async def test_a_one_time_password_expires(door):
    door.clock.advance(100.0)
    with pytest.raises(AuthError, match="expired"):
        await door.enter(password="once", new_password=PASSWORD)


@pytest.mark.anyio
async def test_a_token_expires(door):
    caller = await door.login.caller((await door.enter(password="once", new_password=PASSWORD)).token)
    made = await door.account.make_token(caller, NewToken("t", days=2))
    door.clock.advance(2 * DAY_S - 1)
    assert (await door.login.caller(made.token)).name == "ada"
    door.clock.advance(1)
    with pytest.raises(AuthError, match="expired"):
        await door.login.caller(made.token)


@pytest.mark.anyio
async def test_a_second_factor_is_asked_for_and_no_code_works_twice(door):
    caller = await door.login.caller((await door.enter(password="once", new_password=PASSWORD)).token)
    offered = door.account.offer_totp(caller)
    secret, now = totp.from_base32(offered.secret), door.clock.unix
    recovery = await door.account.confirm_totp(
        caller, ConfirmTotp(offered.secret, totp.code_at(secret, now()), PASSWORD)
    )
    with pytest.raises(SecondFactorError, match="wanted"):
        await door.enter()
    with pytest.raises(SecondFactorError, match="used before"):  # the code that confirmed it
        await door.enter(code=totp.code_at(secret, now()))
    door.clock.advance(30.0)
    assert (await door.enter(code=totp.code_at(secret, now()))).name == "ada"
    with pytest.raises(SecondFactorError):
        await door.enter(code=totp.code_at(secret, now()))
    with pytest.raises(SecondFactorError):
        await door.enter(code=totp.code_at(secret, now() - 300.0))
    assert (await door.enter(code=recovery[3].upper().replace("-", " "))).name == "ada"
    with pytest.raises(SecondFactorError):
        await door.enter(code=recovery[3])
    with pytest.raises(AuthError, match="not your password"):
        await door.account.drop_totp(caller, "wrong")
    await door.account.drop_totp(caller, PASSWORD)
    assert (await door.enter()).name == "ada"


@pytest.mark.anyio
async def test_a_second_factor_is_not_asked_for_until_a_code_of_it_was_shown(door):
    caller = await door.login.caller((await door.enter(password="once", new_password=PASSWORD)).token)
    offered = door.account.offer_totp(caller)
    with pytest.raises(AuthError, match="does not fit"):
        await door.account.confirm_totp(caller, ConfirmTotp(offered.secret, "000000", PASSWORD))
    assert (await door.enter()).name == "ada"


@pytest.mark.anyio
async def test_guessing_ends_soon_and_the_right_password_counts_nothing(door):
    await door.enter(password="once", new_password=PASSWORD)
    for _ in range(3 * PER_PAIR):
        await door.enter()
    for _ in range(PER_PAIR):
        with pytest.raises(AuthError):
            await door.enter(password="guessed")
    with pytest.raises(RateLimitedError) as limited:
        await door.enter()  # even the right one
    assert limited.value.retry_after_s == pytest.approx(WINDOW_S / PER_PAIR)
    door.clock.advance(WINDOW_S / PER_PAIR)
    assert (await door.enter()).name == "ada"


@pytest.mark.anyio
async def test_codes_of_a_second_factor_are_guessed_a_few_times_from_wherever_that_is(door):
    """By somebody who has the password: each question for a code forgives nothing."""
    caller = await door.login.caller((await door.enter(password="once", new_password=PASSWORD)).token)
    offered = door.account.offer_totp(caller)
    secret = totp.from_base32(offered.secret)
    code = totp.code_at(secret, door.clock.unix())
    await door.account.confirm_totp(caller, ConfirmTotp(offered.secret, code, PASSWORD))
    for number in range(CODES):
        with pytest.raises(SecondFactorError, match="wanted"):
            await door.enter()
        proof = SignIn("ada", PASSWORD, code=f"00000{number}")
        with pytest.raises(SecondFactorError, match="does not fit"):
            await door.login.sign_in(proof, f"192.0.2.{number}")
    door.clock.advance(30.0)
    with pytest.raises(RateLimitedError):
        await door.enter(code=totp.code_at(secret, door.clock.unix()))
    door.clock.advance(WINDOW_S / CODES)
    assert (await door.enter(code=totp.code_at(secret, door.clock.unix()))).name == "ada"


@pytest.mark.anyio
async def test_being_asked_for_a_code_or_a_new_password_is_no_failure(door):
    for _ in range(2 * PER_ADDRESS):
        with pytest.raises(PasswordChangeError):
            await door.enter(password="once")
    caller = await door.login.caller((await door.enter(password="once", new_password=PASSWORD)).token)
    offered = door.account.offer_totp(caller)
    secret = totp.from_base32(offered.secret)
    code = totp.code_at(secret, door.clock.unix())
    await door.account.confirm_totp(caller, ConfirmTotp(offered.secret, code, PASSWORD))
    for _ in range(2 * PER_ADDRESS):
        with pytest.raises(SecondFactorError, match="wanted"):
            await door.enter()
    door.clock.advance(30.0)
    assert (await door.enter(code=totp.code_at(secret, door.clock.unix()))).name == "ada"


@pytest.mark.anyio
async def test_somebody_at_an_open_session_cannot_guess_its_password_for_long(door):
    caller = await door.login.caller((await door.enter(password="once", new_password=PASSWORD)).token)
    for _ in range(PER_PAIR):
        with pytest.raises(AuthError):
            await door.account.drop_totp(caller, "guessed")
    with pytest.raises(RateLimitedError):
        await door.account.drop_totp(caller, PASSWORD)


def test_one_address_cannot_try_one_password_on_every_account():
    attempts = Attempts()
    for number in range(PER_ADDRESS):
        attempts.take(f"account-{number}", "2001:db8::1", 0.0)
    with pytest.raises(RateLimitedError):
        attempts.take("yet-another", "2001:db8::ffff", 0.0)  # the same /64
    attempts.take("yet-another", "2001:db8:1::1", 0.0)


def test_guessing_from_one_address_locks_nobody_out_who_is_elsewhere():
    attempts = Attempts()
    for _ in range(PER_PAIR):
        attempts.take("ada", "192.0.2.1", 0.0)
    with pytest.raises(RateLimitedError):
        attempts.take("ada", "192.0.2.1", 0.0)
    attempts.take("ada", "192.0.2.2", 0.0)


def test_brute_force_meets_429_that_says_when_to_come_back(coordinator):
    invited(operator(coordinator), "guessed-at", "viewer")
    answers = [
        Visitor(coordinator).ask("POST", "/session", {"name": "guessed-at", "password": f"guess {n}"})
        for n in range(PER_PAIR + 2)
    ]
    assert [answer.status for answer in answers] == [401] * PER_PAIR + [429] * 2
    assert answers[-1].error["code"] == "rate_limited"
    headers = {name.lower(): value for name, value in answers[-1].headers.items()}
    assert 1 <= int(headers["retry-after"]) <= WINDOW_S / PER_PAIR + 1


def test_unknown_names_are_answered_as_wrong_passwords_are_and_not_sooner(coordinator):
    person(coordinator, "known", "viewer")
    seconds = {"known": [], "unknown": []}
    bodies = set()
    for number in range(4):
        for name, taken in seconds.items():
            body = json.dumps({"name": name, "password": f"wrong {number}"}).encode()
            began = time.perf_counter()
            answer = coordinator.ask("POST", "/api/v1/session", body)
            taken.append(time.perf_counter() - began)
            bodies.add((answer.status, answer.body))
    assert len(bodies) == 1
    known, unknown = (statistics.median(taken) for taken in seconds.values())
    assert unknown > known / 3  # without the hash it is a fiftieth


@pytest.mark.anyio
async def test_when_too_many_sign_in_at_one_moment_the_next_one_is_sent_away():
    passwords = Passwords(CHEAP)
    asked = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(40)), return_exceptions=True)
    sent_away = [one for one in asked if isinstance(one, RateLimitedError)]
    assert len(sent_away) == 40 - MAX_WAITING
    assert len([one for one in asked if isinstance(one, str)]) == MAX_WAITING
    assert await passwords.fits(asked[0], PASSWORD)
    passwords.close()


@pytest.mark.anyio
async def test_the_same_work_is_done_for_nobody_as_for_somebody():
    done = []

    class Counting(PasswordHasher):
        def verify(self, kept, password):
            done.append(kept.split("$")[:4])
            return super().verify(kept, password)

    passwords = Passwords(Counting(time_cost=1, memory_cost=8, parallelism=1))
    kept = await passwords.hash(PASSWORD)
    assert await passwords.fits(kept, PASSWORD)
    assert not await passwords.fits("", PASSWORD)
    assert done[0] == done[1]
    passwords.close()


def test_a_browsers_session_is_in_a_cookie_that_no_page_can_read(coordinator):
    person(coordinator, "browser", "researcher")
    proof = {"name": "browser", "password": PASSWORD, "cookie": True}
    assert Visitor(coordinator).ask("POST", "/session", proof).status == 403  # another site's form
    answer = Visitor(coordinator).ask("POST", "/session", proof, x_septum_csrf="1")
    said, csrf = json.loads(answer.body), json.loads(answer.body)["csrf"]
    assert said["token"] == ""
    set_cookie = {name.lower(): value for name, value in answer.headers.items()}["set-cookie"]
    (morsel,) = SimpleCookie(set_cookie).values()
    assert morsel.key == "__Host-septum"
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, True, "strict", "/")
    page = Visitor(coordinator, headers={"cookie": f"{morsel.key}={morsel.value}"})
    assert page.told("GET", "/session")["csrf"] == csrf
    for wrong in ({}, {"x_septum_csrf": "0" * 64}, {"x_septum_csrf": ""}):
        refused = page.ask("POST", "/tokens", {"title": "t"}, **wrong)
        assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert page.ask("POST", "/tokens", {"title": "t"}, x_septum_csrf=csrf).status == 201
    out = page.ask("DELETE", "/session", x_septum_csrf=csrf)
    assert out.status == 204
    assert page.ask("GET", "/session").status == 401


def test_a_new_password_ends_every_session_and_token(coordinator):
    tina = person(coordinator, "tina", "viewer")
    other = signed_in(coordinator, "tina", PASSWORD)
    made = Visitor(coordinator, tina.told("POST", "/tokens", {"title": "t"})["token"])
    new = "another long password"
    assert tina.ask("PUT", "/account/password", {"password": "wrong", "new_password": new}).status == 401
    assert tina.ask("PUT", "/account/password", {"password": PASSWORD, "new_password": "tina" * 4}).status == 422
    assert tina.ask("PUT", "/account/password", {"password": PASSWORD, "new_password": new}).status == 204
    for ended in (tina, other, made):
        assert ended.ask("GET", "/session").status == 401
    assert signed_in(coordinator, "tina", new).told("GET", "/session")["name"] == "tina"


def test_a_session_that_was_signed_out_is_over(coordinator):
    once = person(coordinator, "once", "viewer")
    assert once.ask("DELETE", "/session").status == 204
    assert once.ask("GET", "/session").status == 401


def test_no_secret_of_a_person_is_in_a_log_an_error_or_the_database(tmp_path, caplog):
    with caplog.at_level("DEBUG"):
        running = Running(tmp_path)
        try:
            once = invited(operator(running), "ada", "researcher")
            ada = signed_in(running, "ada", once, new_password=PASSWORD)
            offered = ada.told("POST", "/account/totp")
            secret = totp.from_base32(offered["secret"])
            confirm = {"secret": offered["secret"], "code": totp.code_at(secret, time.time()), "password": PASSWORD}
            codes = ada.told("PUT", "/account/totp", confirm)["codes"]
            made = ada.told("POST", "/tokens", {"title": "t"})["token"]
            Visitor(running, made).told("GET", "/runs")
            wrong = "a wrong password that somebody typed"
            errors = [
                Visitor(running).ask("POST", "/session", {"name": wrong, "password": wrong}),
                Visitor(running).ask("POST", "/session", {"name": "ada", "password": wrong}),
                Visitor(running).ask("POST", "/session", {"name": "ada", "password": [wrong]}),
                Visitor(running).ask("POST", "/session", {"name": "ada", "password": PASSWORD, "code": "123456"}),
                Visitor(running, made + "x").ask("GET", "/runs"),
                ada.ask("PUT", "/account/password", {"password": wrong, "new_password": wrong}),
            ]
        finally:
            running.stop()
    said = "\n".join(str(vars(record)) for record in caplog.records) + "".join(str(one.body) for one in errors)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("septum.sqlite*"))
    assert "signed_in" in said
    assert {record.address for record in caplog.records if hasattr(record, "address")} == {"127.0.0.1"}
    assert [answer.status for answer in errors] == [401, 401, 400, 401, 401, 401]
    for hidden in (once, PASSWORD, ada.token, made, wrong, offered["secret"], *codes, "123456"):
        assert hidden not in said
        assert hidden.encode() not in kept


@pytest.mark.parametrize("password", ["short", "a" * 300, "aaaaaaaaaaaaaaaa", "ada-lovelace-1815", ""])
def test_a_password_that_is_easy_to_guess_is_refused_and_not_quoted(password):
    with pytest.raises(ConfigError) as refused:
        check_new(password, "ada-lovelace")
    assert not password or password not in refused.value.message
