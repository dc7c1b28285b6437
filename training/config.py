"""The configuration: one frozen object, read from one TOML file, every field optional."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from features.errors import ConfigError, ScopeError
from features.events.scopes import ALL, validate_scopes

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(_Section):
    """What is foretold: the audience within `horizon_days` days.

    With the label `engagers` all distinct people who engage count alike, with `credible_engagers` those who respond,
    each as much as established people vouch for them at the end of the horizon.
    """

    horizon_days: int = Field(default=28, ge=1, le=365)
    label: Literal["engagers", "credible_engagers"] = "engagers"


class Credibility(_Section):
    """From whom credibility flows: the users of `seeds`; without any, established ones are chosen by a rule."""

    seeds: tuple[str, ...] = ()


class Panel(_Section):
    """The training panel: at most `cutoffs` cutoffs, one horizon apart, and the scopes that rows come from.

    Scopes are `all`, which has to be among them, `network:NAME`, `topic:NAME`, `network:*` and `topic:*`.
    """

    cutoffs: int = Field(default=12, ge=2, le=120)
    scopes: tuple[str, ...] = (ALL,)

    @field_validator("scopes")
    @classmethod
    def _scopes_with_all(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        try:
            asked = validate_scopes(scopes)
        except ScopeError as error:
            raise ValueError(str(error)) from error
        if ALL not in asked:
            raise ValueError(f"the scope {ALL} has to be among them")
        return asked


class Model(_Section):
    """The booster: `trees` of at most `depth` levels, each grown on a share of the rows and of the features.

    `variance_power` is Tweedie's: the variance of the audience grows with its mean to that power (1 Poisson, 2 gamma).
    Rows weigh half as much for every `half_life` horizons that they are older than the newest.
    """

    trees: int = Field(default=150, ge=1, le=10_000)
    depth: int = Field(default=4, ge=1, le=12)
    learning_rate: float = Field(default=0.03, gt=0, le=1)
    row_share: float = Field(default=0.5, gt=0, le=1)
    feature_share: float = Field(default=0.6, gt=0, le=1)
    min_users_per_leaf: int = Field(default=50, ge=1)
    variance_power: float = Field(default=1.3, gt=1, lt=2)
    half_life: float = Field(default=3.0, gt=0)
    seed: int = Field(default=0, ge=0)


class Interval(_Section):
    """Prediction intervals of the audience, which hold the truth for a share `level` of users."""

    level: float = Field(default=0.9, gt=0, lt=1)


class Evaluation(_Section):
    """Out-of-time figures; `resamples` bootstrap samples of users give each margin its interval."""

    resamples: int = Field(default=200, ge=20, le=10_000)


class Forecast(_Section):
    """Limits of a forecast that is held against fact."""

    total_low: float = Field(default=0.67, ge=0, le=1)
    total_high: float = Field(default=1.5, ge=1)
    coverage: float = Field(default=0.85, ge=0, le=1)


class Gate(Forecast):
    """Limits that a challenger has to keep, out of time, to become the champion.

    The expected over the real audience lies between `total_low` and `total_high`; at least a share `coverage` of users
    has an audience inside the interval. With `attacks`, the limits of every attack of `clout attack` hold. At most a
    share `moved_share` of the active users (who acted in the last 365 days) moves by more than `moved_points` against
    the champion: month to month, honest models of the communities in the README move 0 to 24 % of them that far.
    """

    attacks: bool = True
    moved_points: float = Field(default=5.0, ge=0, le=100)
    moved_share: float = Field(default=0.25, ge=0, le=1)


class Monitor(Forecast):
    """Limits past which `clout monitor` raises an alarm.

    `feature_psi` and `score_psi` are population stability indices; the expected over the real audience lies between
    `total_low` and `total_high`; at least a share `coverage` of users has an audience inside the interval.
    """

    feature_psi: float = Field(default=0.25, gt=0)
    score_psi: float = Field(default=0.25, gt=0)


class Config(_Section):
    """Everything that can be set, section by section."""

    outcome: Outcome = Outcome()
    credibility: Credibility = Credibility()
    panel: Panel = Panel()
    model: Model = Model()
    interval: Interval = Interval()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    monitor: Monitor = Monitor()


def read_config(path: Path | None) -> Config:
    """Read `clout.toml`; no path gives the defaults.

    Raises
    ------
    ConfigError : the file is absent or no TOML, or a section, field or value is not known; says which are

    """
    if path is None:
        return Config()
    try:
        return Config.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration at {path}.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_told(found) for found in error.errors())) from error


def _told(found: "ErrorDetails") -> str:
    place = ".".join(str(part) for part in found["loc"])
    if found["type"] != "extra_forbidden":
        return f"{place} is {found['input']!r}: {found['msg']}"
    section, *within = found["loc"]
    known = list(type(getattr(Config(), str(section))).model_fields if within else Config.model_fields)
    near = get_close_matches(str(found["loc"][-1]), known, n=1)
    return f"{place} is not known{f', did you mean {near[0]}' if near else ''}? Known are {', '.join(known)}"
