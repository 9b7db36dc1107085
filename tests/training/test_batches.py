"""What an epoch uses is drawn from each lane's own streams, whether a thread draws ahead or not."""

import threading

import pytest
import torch

from hplab.training import augment, batches
from hplab.trial import Trial

CPU = torch.device("cpu")
BASE = Trial(data="digits", model="mlp", epochs=3, batch_size=24)
KINDS = {
    "plain": {},
    "in order": {"shuffle": False},
    "some images": {"n_train": 80, "drop_last": True},
    "augmented": {"augment": {"crop": 1, "flip": 0.5, "rotate": 10.0}},
}


@pytest.fixture
def threads(monkeypatch):
    """Draw ahead as on a graphics card, and note in which thread each lane's order is drawn."""
    seen = []
    real = torch.randperm

    def noted(*args, **options):
        seen.append(threading.current_thread() is threading.main_thread())
        return real(*args, **options)

    make = batches._thread
    monkeypatch.setattr(batches, "_thread", lambda device: make(torch.device("cuda")))
    monkeypatch.setattr(batches.torch, "randperm", noted)
    return seen


def made(kind, n_lanes=2):
    trials = [BASE.replace(**KINDS[kind], seed=seed) for seed in range(n_lanes)]
    return batches.Batches(trials, 128, CPU), trials


def by_hand(trial, n_epochs):
    """Return the rows and random numbers of each epoch, drawn in the plainest way."""
    order, changes = (torch.Generator().manual_seed(trial.stream(s)) for s in ("order", "augment"))
    kept = torch.randperm(128, generator=torch.Generator().manual_seed(trial.stream("subset")))
    found = []
    for _ in range(n_epochs):
        n = trial.n_train or 128
        rows = torch.randperm(n, generator=order) if trial.shuffle else torch.arange(n)
        rows = kept[:n][rows] if trial.n_train else rows
        found.append((rows, augment.draw(trial.augment, n, [changes])))
    return found


def assert_epochs(drawn, trials):
    for epoch in range(BASE.epochs):
        rows, changes = drawn.epoch()
        for lane, trial in enumerate(trials):
            wanted, numbers = by_hand(trial, BASE.epochs)[epoch]
            seen = torch.cat([step[lane] for step in rows])
            assert seen.tolist() == wanted[: len(seen)].tolist()
            assert len(seen) == (72 if trial.drop_last else len(wanted))
            assert list(changes) == list(drawn.drawn)
            for name, values in changes.items():
                assert torch.equal(torch.cat([step[lane] for step in values]), numbers[name][0])


@pytest.mark.parametrize("kind", KINDS)
def test_each_lane_sees_its_own_order_and_its_own_changes(kind):
    assert_epochs(*made(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_ahead_the_numbers_are_the_same(kind, threads):
    assert_epochs(*made(kind))


def test_all_epochs_but_the_first_are_drawn_in_a_thread_and_none_too_many(threads):
    drawn, _ = made("plain", n_lanes=1)
    for _ in range(BASE.epochs):
        drawn.epoch()

    assert threads == [True, False, False]


def test_a_processor_draws_no_epoch_before_it_is_asked_for():
    drawn, _ = made("plain")
    drawn.epoch()

    assert drawn._next is None
    assert batches._thread(CPU) is None


@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_run_can_go_on_from_the_states_before_an_epoch_or_skip_to_it(is_ahead, request):
    if is_ahead:
        request.getfixturevalue("threads")
    whole, _ = made("augmented")
    whole.epoch()
    if is_ahead:
        whole._next.result()  # the thread has drawn: the generators are an epoch further
    states = whole.states()
    rest, _ = made("augmented")
    for generator, state in zip(rest.generators, states, strict=True):
        generator.set_state(state)

    again, _ = made("augmented")
    again.skip(1)

    for _ in range(BASE.epochs - 1):
        rows, changes = whole.epoch()
        for other in (rest, again):
            others, too = other.epoch()
            assert all(map(torch.equal, rows, others))
            for name in too:
                assert all(map(torch.equal, changes[name], too[name]))


def test_what_fails_in_the_thread_is_told_where_the_epoch_is_asked_for(threads, monkeypatch):
    drawn, _ = made("augmented")
    monkeypatch.setattr(batches.augment, "draw", lambda *_: 1 / 0)
    drawn._next = drawn._ahead.submit(drawn._draw, drawn._place())

    with pytest.raises(ZeroDivisionError):
        drawn.epoch()
