"""Properties of the loss, its majoriser and the steps made with it."""

import numpy as np
import torch
from hypothesis import assume, given, target
from hypothesis import strategies as st

from skbgopt.moving import move_control_points
from skbgopt.solvers import MMProblem, minimize_mm
from skbgopt.splines import minimum_degree, spline_basis
from tests.properties.strategies import examples, generator, losses, pixels_and_model, seeds


def quadratic_value(quadratic, change):
    """Return what the majoriser gains with a change of the model."""
    return (0.5 * quadratic.curvature * change**2 - quadratic.downhill * change).sum()


@given(pixels_and_model(), losses(), seeds)
def test_the_majoriser_touches_the_loss_and_lies_above_it(drawn, loss, seed):
    """At the current model both are equal; at any other the quadratic is not below the loss."""
    values, current, weights = drawn
    width = loss.rounding * loss.eps
    assume(((values - current).abs() > width).all())
    assume(not loss.floor or (current.abs() > width).all())
    value, quadratic = loss.majorise(values, current, weights)
    torch.testing.assert_close(value, loss(values, current, weights))
    other = current + torch.from_numpy(generator(seed).normal(size=current.shape)) * 10 ** (
        generator(seed).uniform(-4, 2)
    )
    gain = quadratic_value(quadratic, other - current)
    upper = value + gain
    lower = loss(values, other, weights)
    size = gain.abs() + lower.abs()
    target(float(lower - upper) / float(size))
    assert upper >= lower - 1e-13 * len(values) * size


@given(pixels_and_model(), losses(), seeds)
def test_the_majoriser_lies_above_the_loss_even_where_it_is_rounded_off(drawn, loss, seed):
    """So it does for a current model that meets the values exactly."""
    values, _, weights = drawn
    current = values.clone()
    value, quadratic = loss.majorise(values, current, weights)
    other = current + torch.from_numpy(generator(seed).normal(size=current.shape)) * loss.eps
    gain = quadratic_value(quadratic, other - current)
    upper, size = value + gain, gain.abs() + 1
    assert upper >= loss(values, other, weights) - 1e-12 * size


@given(pixels_and_model(), losses(), seeds)
def test_the_gradient_of_the_loss_is_its_finite_difference(drawn, loss, seed):
    """Autograd and the difference quotient along a random direction agree."""
    values, model, weights = drawn
    direction = torch.from_numpy(generator(seed).normal(size=model.shape))
    step = 1e-6 * loss.eps
    assume(((values - model).abs() > 10 * step * direction.abs().max()).all())
    assume((model.abs() > 10 * step * direction.abs().max()).all())
    model = model.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(values, model, weights), model)
    ahead, behind = (loss(values, model.detach() + sign * step * direction, weights) for sign in (1, -1))
    quotient = float((ahead - behind) / (2 * step))
    expected = float((gradient * direction).sum())
    size = float((gradient.abs() * direction.abs()).sum())
    # Truncation ~ (step / eps)^2, rounding ~ machine epsilon of the loss over the step.
    rounding = 1e-15 * (1 + float(ahead.abs())) * len(values) / step
    assert abs(quotient - expected) <= 1e-5 * size + rounding


@given(pixels_and_model(), losses())
def test_the_majoriser_has_the_gradient_of_the_loss(drawn, loss):
    """Touching means the same slope: `downhill` is minus the gradient."""
    values, model, weights = drawn
    width = loss.rounding * loss.eps
    assume(((values - model).abs() > width).all() and (model.abs() > width).all())
    _, quadratic = loss.majorise(values, model, weights)
    at = model.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(values, at, weights), at)
    size = quadratic.curvature * (values.abs() + model.abs())
    assert ((quadratic.downhill + gradient).abs() <= 1e-11 * size + 1e-14).all()


@given(pixels_and_model(), losses(), seeds)
def test_permuting_the_channels_does_not_change_the_loss(drawn, loss, seed):
    """No channel is special."""
    order = torch.from_numpy(generator(seed).permutation(drawn[0].shape[1]))
    permuted = [part[:, order] for part in drawn]
    torch.testing.assert_close(loss(*permuted), loss(*drawn), rtol=1e-12, atol=1e-12)


@given(pixels_and_model(), losses(), st.floats(0.1, 10))
def test_the_scale_of_the_weights_does_not_matter(drawn, loss, factor):
    """The loss is a weighted mean."""
    values, model, weights = drawn
    torch.testing.assert_close(
        loss(values, model, factor * weights), loss(values, model, weights), rtol=1e-12, atol=1e-12
    )


@given(st.integers(1, 4), st.integers(1, 3), losses(), seeds, st.sampled_from([0.0, 1e-3, 1.0]))
def test_no_step_raises_the_penalised_loss(order, n_channels, loss, seed, penalty):
    """In float64 each majorise-minimise step goes down."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (150, 2)))
    values = torch.from_numpy(rng.gamma(1.0, 1.0, (150, n_channels)))
    weights = torch.from_numpy(rng.integers(0, 3, (150, 1)) * np.ones((1, n_channels)))
    basis = spline_basis(torch.from_numpy(rng.uniform(-1, 1, (9, 2))), points, order, max(1, order // 2))
    problem = MMProblem(basis.design(points), basis.energies, values, weights, penalty)
    coef = torch.from_numpy(rng.normal(size=(basis.n_functions, n_channels)))
    before = problem.penalised_loss(coef, loss)
    for _ in range(15):
        following = problem.step(coef, loss)
        after = problem.penalised_loss(following, loss)
        assert after <= before + 1e-9 * (1 + abs(before))
        coef, before = following, after


@examples(15)
@given(st.integers(1, 4), losses(), seeds, st.sampled_from([0.0, 1e-3, 1.0]))
def test_moving_the_control_points_never_raises_the_loss(order, loss, seed, penalty):
    """On the sample that it looks at, the penalised loss is not above the one to begin with."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (200, 2)))
    values = torch.from_numpy(rng.gamma(1.0, 1.0, (200, 2)))
    weights = torch.ones_like(values)
    basis = spline_basis(torch.from_numpy(rng.uniform(-1, 1, (8, 2))), points, order, minimum_degree(order))
    coef = torch.from_numpy(rng.normal(size=(basis.n_functions, 2)))
    before = MMProblem(basis.design(points), basis.energies, values, weights, penalty).penalised_loss(coef, loss)
    moved, found = move_control_points(basis, coef, points, values, weights, loss, penalty, n_steps=2)
    after = MMProblem(moved.design(points), moved.energies, values, weights, penalty).penalised_loss(found, loss)
    assert after <= before + 1e-9 * (1 + abs(before))


@given(st.integers(1, 4), losses(), seeds)
def test_the_curve_of_the_minimiser_never_rises(order, loss, seed):
    """With momentum too, and the solution is as good as the curve's end says."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (150, 2)))
    values = torch.from_numpy(rng.gamma(1.0, 1.0, (150, 2)))
    basis = spline_basis(torch.from_numpy(rng.uniform(-1, 1, (9, 2))), points, order, minimum_degree(order))
    problem = MMProblem(basis.design(points), basis.energies, values, torch.ones_like(values), 1e-3)
    result = minimize_mm(problem, loss, max_iter=15)
    assert (np.diff(result.curve) <= 0).all()
    np.testing.assert_allclose(problem.penalised_loss(result.coef, loss), result.curve[-1], rtol=1e-9, atol=1e-9)
