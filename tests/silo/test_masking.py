"""A silo's masked part: a whole attempt with real keys ends in the bare sum, and what is not to be done is refused."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.protocol.masking import Store, bare, evaluated, rows
from tests.silo.masked_parts import BASE, FOUR, WHERE, Parts, masked_plan, plain_of, refuses, weight_of

from septum.algorithms.strategy import strategy
from septum.errors import ConfigError, SecAggError, TensorError
from septum.protocol import payload, tensors
from septum.protocol.masked import scale_of
from septum.protocol.messages import (
    INLINE_LIMIT_BYTES,
    Agree,
    Agreed,
    Evaluate,
    MakeKeys,
    Masked,
    Revealed,
    ShareKeys,
    Stage,
    Unmask,
    blob_of,
)
from septum.protocol.plan import Vote, digest_of
from septum.silo.masking import KEPT_BYTES

THREE = ("east", "north", "west")


def bare_model(parts: Parts, silos: tuple[str, ...]) -> tuple[bytes, object]:
    """The model that the same silos' vectors make when nothing is masked."""
    store = Store()
    results = [bare(Stage.TRAIN, plain_of(silo), weight_of(silo), scale_of(parts.plan)) for silo in silos]
    assert BASE.inline is not None
    made = store.combine(Stage.TRAIN, results, strategy("fedavg"), scale_of(parts.plan), base=store.keep(BASE.inline))
    return store.files[made.model.digest], made.measured


# --- a whole attempt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("survivors", [FOUR, THREE])
def test_a_whole_attempt_ends_in_the_model_of_the_bare_sum_also_when_a_silo_drops_out_after_its_shares(
    tmp_path, survivors
):
    parts = Parts(tmp_path)
    keys, results = parts.up_to_work()
    reveals = parts.unmask(parts.agree(survivors))
    made, model = parts.combined(keys, {silo: results[silo] for silo in survivors}, reveals, tmp_path / "blobs")
    assert (model, made.measured) == bare_model(parts, survivors)
    for silo, result in results.items():
        data = bare(Stage.TRAIN, plain_of(silo), weight_of(silo), scale_of(parts.plan))
        assert len(result.payload.inline) == len(data)
        assert result.payload.inline[-24:] != data[-24:]
        assert result.payload.inline[-200:-100] != data[-200:-100]  # of zeros, in the histogram


def test_the_coordinator_logs_the_sum_that_it_unmasked_under_the_name_that_the_silos_have_for_it(tmp_path, caplog):
    caplog.set_level("INFO", "septum.coordinator.combining")
    parts = Parts(tmp_path)
    keys, results = parts.up_to_work()
    reveals = parts.unmask(parts.agree(THREE))
    parts.combined(keys, {silo: results[silo] for silo in THREE}, reveals, tmp_path / "blobs")
    (line,) = [one for one in caplog.records if one.message == "sum_unmasked"]
    asked = Agree(*WHERE, THREE)
    assert [parts.parts[silo].logged(asked) for silo in THREE] == 3 * [{"sum": line.sum, "silos": list(THREE)}]
    assert (line.run_id, line.stage, line.round, line.attempt) == ("r1", "train", 1, 1)
    assert (line.silos, line.revealed_by) == (THREE, list(THREE))


def test_three_of_four_shares_are_enough_to_unmask(tmp_path):
    parts = Parts(tmp_path)
    keys, results = parts.up_to_work()
    signed = parts.agree(FOUR)
    few = {silo: signed[silo] for silo in THREE}
    _, model = parts.combined(keys, results, parts.unmask(few), tmp_path / "blobs")
    assert model == bare_model(parts, FOUR)[0]
    with pytest.raises(SecAggError, match="2 silos revealed their shares, 3 have to"):
        parts.combined(keys, results, dict(list(parts.unmask(few).items())[:2]), tmp_path / "blobs")


def test_a_repeated_question_gets_the_same_answer_at_every_step(tmp_path):
    parts = Parts(tmp_path)
    keys = parts.advertise()
    assert parts.advertise() == keys
    shares = parts.share(keys)
    assert parts.share(keys) == shares
    parts.work(shares)
    results = {silo: parts.protect(silo) for silo in FOUR}
    assert {silo: parts.protect(silo) for silo in FOUR} == results
    signed = parts.agree(FOUR)
    assert parts.agree(FOUR) == signed
    assert parts.unmask(signed) == parts.unmask(signed)


def test_every_attempt_has_keys_of_its_own(tmp_path):
    parts = Parts(tmp_path)
    first = parts.advertise()
    second = parts.advertise(where=(Stage.TRAIN, 1, 2))
    third = parts.advertise(where=(Stage.TRAIN, 1, 3))
    keys = [one.advert.masking for made in (first, second, third) for one in made.values()]
    assert len(set(keys)) == len(keys)
    assert "no keys for train round 1 attempt 1" in refuses(
        parts, "north", ShareKeys(*WHERE, {silo: one.advert for silo, one in first.items()})
    )


def test_a_retry_with_new_keys_masks_the_same_result_anew(tmp_path):
    """The bytes differ everywhere, the sum does not."""
    parts = Parts(tmp_path)
    _, first = parts.up_to_work()
    again = (Stage.TRAIN, 1, 2)
    _, second = parts.up_to_work(where=again)
    assert first["north"].payload.inline[-24:] != second["north"].payload.inline[-24:]
    assert dataclasses.replace(first["north"], payload=BASE, attempt=2) == dataclasses.replace(
        second["north"], payload=BASE
    )


# --- keys for the attempt that follows -----------------------------------------------------------------------------


def test_keys_that_were_made_ahead_last_until_their_attempt_is_over_also_after_a_repeated_one(tmp_path):
    """Attempt 1 sends keys for round 2 and comes to nothing; the same keys go with attempt 2, and on to their round."""
    parts = Parts(tmp_path)
    rounds = {number: (Stage.TRAIN, number, 1) for number in (1, 2, 3)}
    again = (Stage.TRAIN, 1, 2)
    parts.up_to_work(where=rounds[1], ahead=rounds[2])
    _, first = parts.up_to_work(where=again, ahead=rounds[2])
    parts.agree(FOUR, again)
    keys = {silo: result.ahead for silo, result in first.items()}
    parts.work(parts.share(keys, rounds[2]), rounds[2], ahead=rounds[3])
    second = {silo: parts.protect(silo, rounds[2], digest_of(b"next")) for silo in FOUR}
    assert {result.ahead.round for result in second.values()} == {3}
    reveals = parts.unmask(parts.agree(FOUR, rounds[2]), rounds[2])
    assert len(reveals) == 4


def test_a_silo_that_cannot_make_keys_ahead_sends_its_result_all_the_same(tmp_path):
    parts = Parts(tmp_path)
    keys = parts.advertise()
    parts.work(parts.share(keys), ahead=(Stage.TRAIN, 2, 1))

    def damaged(silos: tuple[str, ...]) -> dict[str, bytes]:
        raise ConfigError("the roster is damaged")

    parts.parts["north"]._tools = dataclasses.replace(parts.parts["north"]._tools, keys=damaged)
    assert parts.protect("north").ahead is None


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_silo_that_was_started_again_has_no_keys_and_says_so(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    parts.restart("north")
    for asked in (ShareKeys(*WHERE, {}), Agree(*WHERE, FOUR), Unmask(*WHERE, {})):
        assert "its agent was started again" in refuses(parts, "north", asked)
    with pytest.raises(SecAggError, match="no keys for train round 1 attempt 1") as raised:
        parts.protect("north")
    assert "the next attempt makes new keys" in raised.value.hint


def test_a_second_list_of_keys_is_refused(tmp_path):
    parts = Parts(tmp_path)
    keys = parts.advertise()
    parts.share(keys)
    fewer = ShareKeys(*WHERE, {silo: keys[silo].advert for silo in THREE})
    assert "a second list of adverts under the same keys" in refuses(parts, "north", fewer)


def test_keys_that_were_advertised_for_another_attempt_or_by_nobody_in_the_roster_are_refused(tmp_path):
    parts, stranger = Parts(tmp_path / "one"), Parts(tmp_path / "other")
    old = parts.advertise(*FOUR[2:])
    keys = parts.advertise(where=(Stage.TRAIN, 1, 2))
    for others in (old, stranger.advertise(*FOUR[2:], where=(Stage.TRAIN, 1, 2))):
        adverts = {silo: one.advert for silo, one in {**keys, **others}.items()}
        said = refuses(parts, "north", ShareKeys(Stage.TRAIN, 1, 2, adverts))
        assert said == "the advert of 'south' is not signed by it for this attempt"


def test_terms_of_another_model_are_refused_once_a_result_was_masked(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    with pytest.raises(SecAggError, match="other sealed shares or terms under the same keys"):
        parts.protect("north", base=digest_of(b"another model"))


def test_a_second_result_is_not_masked_by_the_same_keys(tmp_path):
    """The difference of two vectors under one mask is the difference of what they hide."""
    parts = Parts(tmp_path)
    _, results = parts.up_to_work()
    with pytest.raises(SecAggError, match="another result under the same keys"):
        parts.protect("north", plain=plain_of("north", 0.26))
    assert parts.protect("north") == results["north"]


def with_other_models(parts: Parts, *silos: str) -> tuple[dict, dict, Unmask]:
    """These silos were given another model than the rest."""
    keys, other = parts.advertise(), digest_of(b"another model")
    parts.work(parts.share(keys))
    results = {silo: parts.protect(silo, base=other if silo in silos else BASE.digest) for silo in FOUR}
    signed = parts.agree(FOUR)
    return keys, results, Unmask(*WHERE, {silo: one.signature for silo, one in signed.items()})


def test_silos_that_were_given_different_models_do_not_agree(tmp_path):
    parts = Parts(tmp_path)
    _, _, asked = with_other_models(parts, "south", "west")
    for silo in FOUR:
        assert "did not sign the survivors and terms that this silo signed" in refuses(parts, silo, asked)


@pytest.mark.parametrize("other", [{"against": "blake3:another"}, {"edges": (-57344, 7)}])
def test_silos_that_were_asked_for_different_things_beside_the_result_do_not_agree(tmp_path, other):
    """Else a coordinator would ask one silo alone for its vote, or have its scores counted in slots of their own."""
    parts = Parts(tmp_path, replace(masked_plan(), vote=Vote()))
    where, edges = (Stage.EVALUATE, 3, 1), (-57344, 5, 9)
    shares = parts.share(parts.advertise(where=where), where)
    for silo in FOUR:
        sealed = {peer: one.sealed[silo] for peer, one in shares.items() if peer != silo}
        asked = Evaluate(3, 1, BASE, sealed, None, "blake3:before", edges)
        parts.parts[silo].asked(replace(asked, **other) if silo in ("south", "west") else asked)
        plain = tensors.encode(payload.evaluation_tensors(evaluated(*rows(1))))
        result = Masked(*where, BASE.digest, blob_of(plain))
        parts.parts[silo].protect(result, plain, 0, parts.folder / "masked")
        if silo == "north":  # one mask, one vector
            parts.parts[silo].asked(replace(asked, **other))
            with pytest.raises(SecAggError, match="same keys"):
                parts.parts[silo].protect(result, plain, 0, parts.folder / "masked")
    signed = {silo: one.signature for silo, one in parts.agree(FOUR, where).items()}
    for silo in FOUR:
        assert "did not sign the survivors and terms" in refuses(parts, silo, Unmask(*where, signed))


def test_a_silo_that_alone_was_given_another_model_reveals_nothing_and_its_masks_stay_in_the_sum(tmp_path):
    """The others are enough to reveal; but what its vector was masked with is bound to that other model."""
    parts = Parts(tmp_path)
    keys, results, asked = with_other_models(parts, "west")
    assert "did not sign the survivors and terms that this silo signed" in refuses(parts, "west", asked)
    reveals = {silo: parts.parts[silo].answer(asked) for silo in ("east", "north", "south")}
    with pytest.raises(TensorError, match="a silo sent what cannot be"):
        parts.combined(keys, results, reveals, tmp_path / "blobs")


def test_silos_that_were_told_different_survivors_do_not_agree(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    signed = {**parts.agree(FOUR), "north": parts.parts["north"].answer(Agree(*WHERE, FOUR))}
    assert "a second list of survivors" in refuses(parts, "north", Agree(*WHERE, THREE))
    forged = {silo: signed[silo].signature for silo in ("east", "north")} | {"west": signed["east"].signature}
    assert "'west' did not sign" in refuses(parts, "north", Unmask(*WHERE, forged))
    two = {silo: signed[silo].signature for silo in ("east", "north")}
    assert "2 silos signed the list of survivors, 3 have to" in refuses(parts, "north", Unmask(*WHERE, two))


def test_survivors_without_this_silo_unknown_ones_or_too_few_are_refused(tmp_path):
    parts = Parts(tmp_path, min_cohort=4)
    parts.up_to_work()
    for survivors, said in (
        (("east", "south", "west"), "3 silos of 4, and 'north' sums over 4 at least"),
        ((*FOUR, "zurich"), "silos that do not belong there: 'zurich'"),
        (("east", "east", "north", "south"), "a silo twice"),
    ):
        assert said in refuses(parts, "north", Agree(*WHERE, survivors))
    parts = Parts(tmp_path / "three")
    parts.up_to_work()
    assert "without 'north'" in refuses(parts, "north", Agree(*WHERE, ("east", "south", "west")))
    assert isinstance(parts.parts["north"].answer(Agree(*WHERE, FOUR)), Agreed)  # a refusal has used nothing up


@pytest.mark.parametrize(("min_cohort", "quorum", "least"), [(3, 3, 3), (4, 3, 4), (1, 4, 4), (1, 3, 3)])
def test_a_silo_takes_the_largest_of_threshold_quorum_and_its_own_min_cohort(tmp_path, min_cohort, quorum, least):
    parts = Parts(tmp_path, masked_plan(quorum=quorum), min_cohort=min_cohort)
    keys = parts.advertise()
    few = ShareKeys(*WHERE, {silo: keys[silo].advert for silo in FOUR[: least - 1]})
    assert f"{least - 1} silos of 4, and 'east' sums over {least} at least" in refuses(parts, "east", few)
    enough = ShareKeys(*WHERE, {silo: keys[silo].advert for silo in FOUR[:least]})
    assert len(parts.parts["east"].answer(enough).sealed) == least - 1


def test_a_plan_over_fewer_silos_than_the_silo_sums_over_gets_no_keys(tmp_path):
    parts = Parts(tmp_path, masked_plan(("north", "south"), quorum=2), min_cohort=3)
    assert "a quorum of 3 of 2 silos" in refuses(parts, "north", MakeKeys(*WHERE))


def test_nothing_of_an_attempts_secrets_shows_in_what_is_printed(tmp_path):
    parts = Parts(tmp_path)
    parts.up_to_work()
    (attempt,) = parts.parts["north"]._attempts.values()
    state = attempt.state
    for secret in (state.seed, state.masking, state.encryption, *state.shares.values()):
        assert repr(secret)[2:-1] not in repr(attempt)


# --- large results -------------------------------------------------------------------------------------------------


def large(count: int, value: float = 0.5) -> bytes:
    content = tensors.decode(plain_of("north"))
    evaluation = {name: content[name] for name in ("evaluation.bins", "evaluation.sums")}
    return tensors.encode({**evaluation, "update.w": np.full(count, value, np.float32)})


def protect_large(parts: Parts, plain: bytes | Path, target: Path, digest: str) -> Masked:
    size = len(plain) if isinstance(plain, bytes) else plain.stat().st_size
    result = Masked(*WHERE, BASE.digest, dataclasses.replace(blob_of(b""), digest=digest, size_bytes=size, inline=None))
    return parts.parts["north"].protect(result, plain, 10, target)


@pytest.mark.parametrize("count", [20_000, KEPT_BYTES // 4 + 1_000])
def test_a_large_result_is_masked_into_a_file_with_the_same_bytes_whatever_way_it_came(tmp_path, count):
    parts = Parts(tmp_path)
    parts.work(parts.share(parts.advertise()))
    plain, target = large(count), tmp_path / "masked"
    (tmp_path / "plain").write_bytes(plain)
    from_file = protect_large(parts, tmp_path / "plain", target, digest_of(plain))
    data = target.read_bytes()
    assert from_file.payload.inline is None
    assert (from_file.payload.digest, from_file.payload.size_bytes) == (digest_of(data), len(data))
    assert len(data) > INLINE_LIMIT_BYTES
    assert protect_large(parts, plain, target, digest_of(plain)) == from_file
    assert target.read_bytes() == data
    layout = {name: array.shape for name, array in tensors.decode(data).items()}
    assert layout["masked.update.w"] == (count,)


@pytest.mark.parametrize("count", [20_000, KEPT_BYTES // 4 + 1_000])
def test_a_large_result_that_may_not_be_masked_leaves_no_file(tmp_path, count):
    parts = Parts(tmp_path)
    parts.work(parts.share(parts.advertise()))
    plain = large(count, value=15.0)  # beyond the clip, which is known at the end
    with pytest.raises(SecAggError, match="beyond the clip"):
        protect_large(parts, plain, tmp_path / "masked", digest_of(plain))
    assert not (tmp_path / "masked").exists()


def test_a_disk_that_is_full_in_the_middle_leaves_no_file_and_spoils_nothing(tmp_path):
    parts = Parts(tmp_path)
    parts.work(parts.share(parts.advertise()))
    plain = large(20_000)
    with pytest.raises(OSError, match="No such file"):
        protect_large(parts, plain, tmp_path / "gone" / "masked", digest_of(plain))
    assert protect_large(parts, plain, tmp_path / "masked", digest_of(plain)).payload.size_bytes > 80_000


def test_statistics_can_be_masked_with_and_without_the_initial_model(tmp_path):
    parts = Parts(tmp_path)
    where = (Stage.PREPARE, 0, 1)
    keys = parts.advertise(where=where)
    parts.work(parts.share(keys, where), where)
    for silo in FOUR:
        initial = {"w": np.ones(2, np.float32)} if silo == "east" else None
        plain = tensors.encode(payload.prepared_tensors({"s.n": np.array([3.0])}, initial))
        parts.protect(silo, where, "", plain)
    assert len(parts.unmask(parts.agree(FOUR, where), where)) == 4  # so they have signed the same layout


# --- what silos reveal ---------------------------------------------------------------------------------------------


def reveals_of(parts: Parts) -> tuple[dict, dict, dict]:
    keys, results = parts.up_to_work()
    return keys, results, parts.unmask(parts.agree(FOUR))


def without_a_share(said: Revealed) -> Revealed:
    seeds = {silo: share for silo, share in said.reveal.seeds.items() if silo != "east"}
    return dataclasses.replace(said, reveal=dataclasses.replace(said.reveal, seeds=seeds))


def test_a_silo_that_reveals_too_little_hinders_nobody_where_the_others_are_enough(tmp_path):
    parts = Parts(tmp_path)
    keys, results, reveals = reveals_of(parts)
    made, expected = parts.combined(keys, results, reveals, tmp_path / "c")
    spoiled = {**reveals, "west": without_a_share(reveals["west"])}
    again, model = parts.combined(keys, results, spoiled, tmp_path / "d")
    assert (model, again.model) == (expected, made.model)


def test_where_they_are_not_enough_it_is_named(tmp_path):
    parts = Parts(tmp_path)
    keys, results, reveals = reveals_of(parts)
    del reveals["north"]
    reveals["west"] = without_a_share(reveals["west"])
    with pytest.raises(SecAggError, match="'west' revealed shares of too many or too few seeds: east"):
        parts.combined(keys, results, reveals, tmp_path / "c")
