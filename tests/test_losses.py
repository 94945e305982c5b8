"""The loss and its majoriser."""

import numpy as np
import pytest
import torch

from skbgopt.losses import BackgroundLoss


def slow_loss(values, model, used, eps, alpha, colour, floor):
    """Step 6 of METHOD.md, pixel by pixel; pixels that are not used do not count at all."""
    values, model = values[used], model[used]
    below = np.mean(np.abs(model) - model) if floor else 0.0
    logs = []
    for value, f in zip(values, model, strict=True):
        r = value - f
        error, imbalance, overshoot = np.mean(np.abs(r)), np.var(r), np.mean(np.abs(r) - r)
        logs.append(np.log(eps + error + colour * imbalance + alpha * (overshoot + below)))
    return np.mean(logs)


def made_pixels(n_channels, n_pixels=40, seed=0):
    """Values, a model that is sometimes negative, binary weights."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.2, 0.3, (n_pixels, n_channels))
    model = rng.normal(0.1, 0.2, (n_pixels, n_channels))
    return values, model, rng.uniform(size=n_pixels) < 0.7


def tensors(*arrays):
    """Numpy to torch."""
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@pytest.mark.parametrize("floor", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
def test_loss_is_the_published_formula(n_channels, alpha, floor):
    """The loss equals the formula of the publication written out pixel by pixel."""
    values, model, used = made_pixels(n_channels)
    loss = BackgroundLoss(eps=0.001, alpha=alpha, floor=floor)
    weights = used[:, None] * np.ones_like(values)
    expected = slow_loss(values, model, used, 0.001, alpha, 1.0, floor)
    assert float(loss(*tensors(values, model, weights))) == pytest.approx(expected, rel=1e-12)


def test_the_defaults_are_the_published_terms():
    """Alpha 5, colour balance of price 1 and the floor are what was published."""
    assert BackgroundLoss(eps=0.001) == BackgroundLoss(eps=0.001, alpha=5.0, colour=1.0, floor=True)


def test_a_weight_of_two_is_two_copies():
    """Doubling a pixel's weight is the same as listing it twice."""
    values, model, _ = made_pixels(3)
    weights = np.ones_like(values)
    weights[:10] = 2
    loss = BackgroundLoss(eps=0.01)
    copies = [np.concatenate([part, part[:10]]) for part in (values, model, np.ones_like(values))]
    assert float(loss(*tensors(values, model, weights))) == pytest.approx(float(loss(*tensors(*copies))))


def test_values_of_weight_zero_do_not_matter():
    """Neither values nor model under a weight of 0 change the loss or the majoriser."""
    values, model, used = made_pixels(3)
    weights = used[:, None] * np.ones_like(values)
    loss = BackgroundLoss(eps=0.01)
    before, quadratic = loss.majorise(*tensors(values, model, weights))
    values[~used], model[~used] = 1e6, -1e6
    after, other = loss.majorise(*tensors(values, model, weights))
    assert after == before
    assert torch.equal(quadratic.curvature[used], other.curvature[used])
    assert (other.curvature[~used] == 0).all()
    assert (other.downhill[~used] == 0).all()


def test_a_channel_of_weight_zero_does_not_count_in_its_pixel():
    """A pixel whose third channel has no weight costs what its two others cost."""
    values, model, _ = made_pixels(3)
    weights = np.ones_like(values)
    weights[:, 2] = 0
    loss = BackgroundLoss(eps=0.01, floor=False)
    two = [part[:, :2] for part in (values, model, weights)]
    assert float(loss(*tensors(values, model, weights))) == pytest.approx(float(loss(*tensors(*two))))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_without_the_logarithm_the_best_constant_is_a_quantile(alpha):
    """With a scale far above the data the best constant is their 1 / (2 + 2 alpha) quantile."""
    values = np.random.default_rng(0).normal(size=(2001, 1))
    loss = BackgroundLoss(eps=1e6, alpha=alpha, floor=False, rounding=1e-9)
    levels = np.linspace(-3, 3, 601)
    costs = [float(loss(*tensors(values, np.full_like(values, level), np.ones_like(values)))) for level in levels]
    expected = np.quantile(values, 1 / (2 + 2 * alpha))
    assert levels[int(np.argmin(costs))] == pytest.approx(expected, abs=0.03)


def test_a_star_loses_its_say():
    """The pull of a pixel above the model falls in proportion to its distance."""
    loss = BackgroundLoss(eps=0.001, floor=False)
    pulls = []
    for height in (0.1, 1.0):
        values = torch.tensor([[height]], dtype=torch.float64)
        model = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
        loss(values, model, torch.ones(1, 1).double()).backward()
        pulls.append(-model.grad.item())
    assert pulls[0] == pytest.approx(10 * pulls[1], rel=0.02)
    assert pulls[1] > 0


@pytest.mark.parametrize("distance", [1.0, 1000.0])
def test_of_an_envelope_pixels_below_keep_their_say(distance):
    """They pull by 2 alpha / eps, and as any pixel does beside that, however far below the model they lie."""
    loss = BackgroundLoss(eps=0.1, alpha=5.0, floor=False, envelope=True)
    model = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    loss(torch.tensor([[-distance]], dtype=torch.float64), model, torch.ones(1, 1).double()).backward()
    assert model.grad.item() == pytest.approx(2 * 5.0 / 0.1 + 1 / (0.1 + distance))


def test_above_the_model_an_envelope_costs_what_the_loss_costs():
    """Overshoot is all that differs."""
    values, model, _ = made_pixels(3)
    model = np.minimum(model, values - 0.01)
    loss, envelope = (BackgroundLoss(eps=0.01, floor=False, envelope=each) for each in (False, True))
    parts = tensors(values, model, np.ones_like(values))
    assert float(envelope(*parts)) == pytest.approx(float(loss(*parts)))


def test_with_eps_changes_nothing_else():
    """Annealing changes the scale only."""
    loss = BackgroundLoss(eps=1.0, alpha=2.0, colour=0.5, floor=False)
    assert loss.with_eps(0.1) == BackgroundLoss(eps=0.1, alpha=2.0, colour=0.5, floor=False)
