"""Searches in a storage: killed and begun again, shared by processes."""

import json
import multiprocessing
import shutil
import time
from functools import partial

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from sklearn.base import clone

from skbgopt import BackgroundSplineRegressor, make_sky_image
from skbgopt.model_selection import BackgroundSearchCV, _storage, _study, held_out_score

pytestmark = pytest.mark.usefixtures("quick_reference")
IMAGE = make_sky_image("oiii", shape=(96, 128), random_state=0).image
QUICK = BackgroundSplineRegressor(n_control_points=9, order=2, smoothing=1e-3, mask_objects=False)
SPACE = {"smoothing": (1e-6, 1.0, "log"), "quantile": (0.9, 1.0)}
KILLED = 3
# Long enough for a busy machine; no test waits so long unless it fails.
PATIENCE = 120


def search(storage, n_trials, **parameters):
    """A search of quick trials in two folds."""
    given = {"estimator": QUICK, "cv": 2, "random_state": 0, "refit": False, **parameters}
    return BackgroundSearchCV(param_distributions=SPACE, n_trials=n_trials, storage=storage, **given)


def finished(study):
    """Trials that were done, by number."""
    done = (TrialState.COMPLETE, TrialState.PRUNED)
    return {trial.number: trial.params for trial in study.get_trials(states=done)}


class HangInTheMiddle(optuna.pruners.BasePruner):
    """Prunes nothing, says when a certain trial has had its first fold, and hangs there."""

    said = None

    def prune(self, study, trial):
        if trial.number == KILLED:
            type(self).said.send(trial.params)
            time.sleep(PATIENCE)
        return False


def search_until_killed(url, connection):
    """What the process does that is killed."""
    HangInTheMiddle.said = connection
    search(url, 6, pruner=HangInTheMiddle()).fit(IMAGE)


def search_with_another(url, connection):
    """What the other of two processes does: after its first trial it waits until the first of the other."""
    mine = []

    def wait_once(study, trial):
        mine.append(trial.number)
        if len(mine) == 1:
            connection.send("begun")
            connection.poll(PATIENCE)

    search(url, 8, callbacks=[wait_once]).fit(IMAGE)
    connection.send(mine)


def start(target, url):
    """Start another process and return it with our end of the line to it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(url, theirs), daemon=True)
    process.start()
    return process, ours


@pytest.fixture(scope="module")
def partner(tmp_path_factory):
    """Another process, started before it is needed, and the storage in which it has begun."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'study.db'}"
    return url, *start(search_with_another, url)


@pytest.fixture(scope="module")
def killed(tmp_path_factory, partner):
    """A storage whose process was killed in the middle of a trial, and that trial's parameters."""
    path = tmp_path_factory.mktemp("killed") / "study.db"
    process, line = start(search_until_killed, f"sqlite:///{path}")
    assert line.poll(PATIENCE)
    params = line.recv()
    process.kill()
    process.join()
    return path, params


@pytest.fixture(scope="module")
def unbroken():
    """The study of a search that nothing interrupts."""
    return search(None, 7).fit(IMAGE).study_


def test_a_killed_search_goes_on(killed, unbroken, tmp_path):
    """After kill -9 the trials done are kept, those missing are run and no more; the lost one does not count."""
    path = shutil.copy(killed[0], tmp_path)
    before = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    assert sorted(finished(before)) == [0, 1, 2]
    assert before.trials[KILLED].state == TrialState.RUNNING
    found = search(f"sqlite:///{path}", 6).fit(IMAGE)
    assert sorted(finished(found.study_)) == [0, 1, 2, 4, 5, 6]
    assert len(found.cv_results_["params"]) == 6
    # Each trial draws from its own number: what was tried after the kill is what would have been tried.
    assert finished(found.study_) == {k: params for k, params in finished(unbroken).items() if k != KILLED}


def test_a_lost_trial_is_tried_again(killed, tmp_path, monkeypatch):
    """Once its process has given no sign of life for long enough, the trial is recorded as failed and repeated."""
    path, params = shutil.copy(killed[0], tmp_path), killed[1]
    monkeypatch.setattr(_storage, "_GRACE", 1)
    monkeypatch.setattr(_storage, "_HEARTBEAT", 1)
    time.sleep(2.1)
    found = search(f"sqlite:///{path}", 6).fit(IMAGE)
    states = [trial.state.name for trial in found.study_.trials]
    assert states == ["COMPLETE"] * KILLED + ["FAIL"] + ["COMPLETE"] * 3
    assert found.cv_results_["params"][KILLED] == params
    assert found.cv_results_["state"] == ["COMPLETE"] * 6


def test_two_processes_finish_the_trials_between_them(partner):
    """Both do a part, together as many as asked for or one more, and no setting is tried twice."""
    url, process, line = partner
    assert line.poll(PATIENCE)
    assert line.recv() == "begun"
    mine = []

    def tell_once(study, trial):
        mine.append(trial.number)
        if len(mine) == 1:
            line.send("go")

    found = search(url, 8, callbacks=[tell_once]).fit(IMAGE)
    assert line.poll(PATIENCE)
    others = line.recv()
    process.join()
    trials = finished(found.study_)
    assert mine
    assert others
    assert sorted(mine + others) == sorted(trials)
    assert 8 <= len(trials) <= 9
    assert len({tuple(params.values()) for params in trials.values()}) == len(trials)


def journal(path):
    """A storage for shared file systems."""
    return JournalStorage(JournalFileBackend(str(path / "journal.log")))


@pytest.mark.parametrize(
    "make",
    [journal, lambda path: str(path / "journal.log"), lambda path: f"sqlite:///{path / 'study.db'}"],
    ids=["journal", "path", "sqlite"],
)
def test_trials_are_counted_in_all(tmp_path, make):
    """A second search of more trials adds those that are missing, one of fewer none, and both know all of them."""
    first = search(make(tmp_path), 2).fit(IMAGE)
    longer = search(make(tmp_path), 4).fit(IMAGE)
    shorter = search(make(tmp_path), 3).fit(IMAGE)
    assert [len(each.cv_results_["params"]) for each in (first, longer, shorter)] == [2, 4, 4]
    assert longer.cv_results_["params"][:2] == first.cv_results_["params"]
    assert shorter.best_params_ == longer.best_params_
    assert shorter.cv_results_["mean_fit_time"][0] == first.cv_results_["mean_fit_time"][0] > 0


@pytest.mark.parametrize(
    "other",
    [{"X": IMAGE[:, ::-1]}, {"cv": 3}, {"estimator__alpha": 2.0}, {"param_distributions": {"smoothing": (1e-6, 0.1)}}],
    ids=["image", "folds", "estimator", "space"],
)
def test_searches_in_one_storage_do_not_mix(other):
    """Other images, folds, fixed parameters or spaces make another study; under one's own name they are refused."""
    storage, parameters = InMemoryStorage(), dict(other)
    image = parameters.pop("X", IMAGE)
    for name in (None, "mine"):
        search(storage, 1, study_name=name).fit(IMAGE)
    search(storage, 1).set_params(**parameters).fit(image)
    assert len(optuna.get_all_study_names(storage)) == 3
    with pytest.raises(ValueError, match="The study 'mine' in this storage holds another search"):
        search(storage, 1, study_name="mine").set_params(**parameters).fit(image)


@pytest.mark.parametrize("own", [{"quantile": 0.95}, {"smoothing": 1e3}], ids=["in the space", "outside"])
@pytest.mark.parametrize(
    "make",
    [lambda path: str(path / "journal.log"), lambda path: f"sqlite:///{path / 'study.db'}"],
    ids=["path", "sqlite"],
)
def test_each_setting_given_is_scored_once(tmp_path, make, own):
    """A search that goes on from another setting scores that one too, and beats it; the next one knows both."""
    search(make(tmp_path), 2).fit(IMAGE)
    for n_trials in (2, 4):
        other = search(make(tmp_path), n_trials, estimator=clone(QUICK).set_params(**own)).fit(IMAGE)
        assert other.cv_results_["params"][other.own_index_].items() >= own.items()
    assert len(other.cv_results_["params"]) == 4
    again = search(make(tmp_path), 4).fit(IMAGE)
    assert again.cv_results_["params"] == other.cv_results_["params"]
    assert again.cv_results_["params"][again.own_index_] == {"smoothing": 1e-3, "quantile": 0.99}
    assert all(trial.params["smoothing"] < 1e3 for trial in again.study_.trials)


def test_a_setting_given_that_was_lost_is_scored():
    """One whose process died with it, as the first trial of a journal, is the bar all the same."""
    storage = InMemoryStorage()
    lost = search(InMemoryStorage(), 1).fit(IMAGE).study_
    study = optuna.create_study(storage=storage, study_name="mine")
    study.set_user_attr("search", lost.user_attrs["search"])
    study.enqueue_trial({"smoothing": 1e-3, "quantile": 0.99})
    study.ask(lost.trials[0].distributions)
    found = search(storage, 2, study_name="mine").fit(IMAGE)
    assert study.trials[0].state == TrialState.RUNNING
    assert found.cv_results_["params"][found.own_index_] == study.trials[0].params


def test_a_journal_that_was_cut_off_goes_on(tmp_path):
    """The line that a power cut left half written goes, all before it stays; other damage is named and not touched."""
    path = tmp_path / "journal.log"
    search(str(path), 2).fit(IMAGE)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":5,"work')
    assert len(search(str(path), 3).fit(IMAGE).cv_results_["params"]) == 3
    assert path.read_bytes().startswith(whole) and all(map(json.loads, path.read_bytes().splitlines()))
    for damage in (b'{"op_code":5,"work\n', b"[]\n", b"{}\n"):
        path.write_bytes(whole + damage + whole)
        with pytest.raises(ValueError, match=r"journal\.log' instead, a journal with a line that is damaged"):
            search(str(path), 3).fit(IMAGE)
        assert path.read_bytes() == whole + damage + whole


@pytest.mark.parametrize(
    ("directions", "n_trials"), [(["minimize"], 1), (["maximize"], 0), (["minimize", "minimize"], 0)]
)
def test_a_study_of_another_make_is_left_alone(directions, n_trials):
    """One with trials, or with other objectives, is refused and stays as it is."""
    storage = InMemoryStorage()
    other = optuna.create_study(directions=directions, storage=storage, study_name="mine")
    other.add_trials([create_trial(value=0.0)] * n_trials)
    with pytest.raises(ValueError, match="The study 'mine' in this storage holds another search"):
        search(storage, 1, study_name="mine").fit(IMAGE)
    assert (len(other.trials), other.user_attrs) == (n_trials, {})


def test_an_empty_study_that_minimises_is_taken():
    """It may be made beforehand, under a name of one's own."""
    storage = InMemoryStorage()
    made = optuna.create_study(storage=storage, study_name="mine")
    search(storage, 1, study_name="mine").fit(IMAGE)
    assert len(finished(made)) == 1


def weighed(weight, *parts):
    """A score with a parameter."""
    return weight * held_out_score(*parts)


def test_scores_with_other_parameters_make_another_study():
    """Partials of one function are told apart and known again; a function without a name needs no storage."""
    storage = InMemoryStorage()
    for weight in (1, 2, 1):
        search(storage, 1, scoring=partial(weighed, weight)).fit(IMAGE)
    assert len(optuna.get_all_study_names(storage)) == 2
    nameless = search(None, 1, scoring=lambda *parts: weighed(1, *parts)).fit(IMAGE)
    with pytest.raises(ValueError, match="'scoring' parameter of BackgroundSearchCV must be known again"):
        nameless.set_params(storage=storage).fit(IMAGE)


def test_double_precision_tells_images_apart():
    """Images that float32 takes for the same are two searches."""
    storage = InMemoryStorage()
    for scale in (1, 1 + 1e-9):
        search(storage, 1).fit(IMAGE.astype(float) * scale)
    assert len(optuna.get_all_study_names(storage)) == 2


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("sqlite:///no/study.db", "Got sqlite:///no/study.db instead: unable to open database file.$"),
        ("sqlite:///text", "file is not a database"),
        ("text", "Got 'text' instead, a file of another kind that is left as it is"),
        ("/dev/null", "Got '/dev/null' instead, which is no regular file"),
        ("x\0y", "which is no regular file"),
        ("sqlite://", "Got 'sqlite://' instead: name a file"),
        ("sqlite:///:memory:", "instead: name a file"),
        ("", "Got '' instead, which is no regular file"),
        ("abacus://beads", "abacus"),
        ("postgresql+nodriver://me:secret@host/name", r"postgresql\+nodriver://me:\*\*\*@host/name"),
    ],
)
def test_a_storage_that_cannot_be_used_is_a_sentence(tmp_path, monkeypatch, storage, words):
    """No file is changed, and no password shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_storage.time, "sleep", lambda seconds: None)
    text = "this is neither a database nor a journal\n" * 100
    (tmp_path / "text").write_text(text)
    with pytest.raises(ValueError, match=f"^The 'storage' parameter of BackgroundSearchCV must be .*{words}"):
        search(storage, 1).fit(IMAGE)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("text", text)]


def test_what_does_not_matter_to_a_trial_goes_on_with_the_study():
    """Seed, sampler and verbosity may change between searches of one study."""
    storage = InMemoryStorage()
    search(storage, 2).fit(IMAGE)
    sampler = optuna.samplers.RandomSampler(seed=1)
    found = search(storage, 3, random_state=7, sampler=sampler).fit(IMAGE)
    assert len(optuna.get_all_study_names(storage)) == 1
    assert len(found.cv_results_["params"]) == 3


def test_trials_draw_from_seed_and_number_alone():
    """Samplers of two processes with one seed draw the same for the same trial, and else never."""
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    old = [create_trial(params={"x": k / 20}, distributions=space, value=(k / 20 - 0.3) ** 2) for k in range(20)]

    def drawn(seed, n_trials):
        study = optuna.create_study(sampler=_study.SeededTPE(seed))
        study.add_trials(old)
        return [study.ask(space).params["x"] for _ in range(n_trials)]

    first = drawn(0, 3)
    assert drawn(0, 3) == first
    assert len({*first, *drawn(1, 3)}) == 6
