"""A Gaussian process over a few hundred points in a few dozen columns, with its length scales fitted.

Letters: `N` points it knows, `M` points it is asked about, `D` columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

PRIOR_INVERSE_SCALE = 2.0
"""Prior median of an inverse squared length scale: lengths of about .7 of a parameter's range."""
PRIOR_NOISE = 0.05
"""Prior median of the noise variance, the targets' variance being 1."""
JITTER = 1e-6


@dataclass(frozen=True)
class GaussianProcess:
    """A zero-mean process with a Matern 5/2 kernel and a length scale for each column.

    `theta (D + 2,)` holds logarithms: inverse squared length scales, signal variance, noise variance.
    """

    theta: np.ndarray
    features: np.ndarray
    factor: np.ndarray
    """Lower Cholesky factor `(N, N)` of the kernel matrix."""
    weights: np.ndarray
    """Kernel matrix inverse times targets, `(N,)`."""

    @classmethod
    def fitted(cls, features: np.ndarray, targets: np.ndarray, steps: int = 30) -> GaussianProcess:
        """Chooses `theta` by its posterior under log-normal priors, then conditions on the targets.

        Args:
            features: `(N, D)`.
            targets: `(N,)`, about standard normal.
            steps: Most iterations of L-BFGS.
        """
        rows, columns = features.shape
        left, right = np.tril_indices(rows, -1)
        squares = (features[left] - features[right]) ** 2
        diagonal = np.diag_indices(rows)
        center = np.append(np.full(columns, math.log(PRIOR_INVERSE_SCALE)), [0.0, math.log(PRIOR_NOISE)])
        spread = np.append(np.full(columns, 1.5), [0.7, 1.0])

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            inverse_scales, variance, noise = np.exp(theta[:columns]), math.exp(theta[-2]), math.exp(theta[-1])
            signal, slope = _matern(squares @ inverse_scales, variance)
            kernel = np.zeros((rows, rows))
            kernel[left, right] = signal
            kernel[diagonal] = variance + noise + JITTER
            factor, failed = dpotrf(kernel, lower=True)
            if failed:
                return 1e10, np.zeros_like(theta)
            weights = cho_solve((factor, True), targets)
            inverse, _ = dpotri(factor, lower=True)
            pairs = inverse[left, right] - weights[left] * weights[right]  # off the diagonal, each pair counts twice
            alone = (inverse[diagonal] - weights**2).sum() / 2
            gradient = np.append(
                inverse_scales * ((pairs * slope) @ squares), [pairs @ signal + alone * variance, noise * alone]
            )
            from_prior = (theta - center) / spread
            likelihood = targets @ weights / 2 + np.log(factor[diagonal]).sum()
            return likelihood + (from_prior**2).sum() / 2, gradient + from_prior / spread

        bounds = np.stack([center - 5 * spread, center + 5 * spread], axis=1)  # no overflow on a first long step
        theta = minimize(loss, center, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
        return cls._conditioned(theta, features, targets)

    def given(self, features: np.ndarray, targets: np.ndarray) -> GaussianProcess:
        """The same `theta` on other data."""
        return self._conditioned(self.theta, features, targets)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation at `features (M, D)`, each `(M,)`, without the noise."""
        variance = math.exp(self.theta[-2])
        kernel, _ = _matern(_squared_distances(features, self.features, self.theta), variance)
        explained = solve_triangular(self.factor, kernel.T, lower=True)
        return kernel @ self.weights, np.sqrt(np.maximum(variance - (explained**2).sum(axis=0), 1e-8))

    @classmethod
    def _conditioned(cls, theta: np.ndarray, features: np.ndarray, targets: np.ndarray) -> GaussianProcess:
        kernel, _ = _matern(_squared_distances(features, features, theta), math.exp(theta[-2]))
        factor = cho_factor(kernel + (math.exp(theta[-1]) + JITTER) * np.eye(len(features)), lower=True)
        return cls(theta, features, np.tril(factor[0]), cho_solve(factor, targets))


def _matern(squared: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """The kernel at squared scaled distances, and its derivative by them."""
    distance = np.sqrt(5 * np.maximum(squared, 1e-20))
    decay = variance * np.exp(-distance)
    return (1 + distance + distance**2 / 3) * decay, -5 / 6 * (1 + distance) * decay


def _squared_distances(left: np.ndarray, right: np.ndarray, theta: np.ndarray) -> np.ndarray:
    scales = np.exp(theta[: left.shape[1]] / 2)
    left, right = left * scales, right * scales
    return np.maximum((left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T, 0)
