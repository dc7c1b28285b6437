"""The configuration: one frozen object, read from one TOML file, every field optional."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from features.errors import ConfigError, ScopeError, did_you_mean
from features.events.scopes import ALL, validate_scopes
from features.ids import parse_id

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(_Section):
    """What is predicted: the audience within `horizon_days` days.

    The label `engagers` counts all distinct people who engage equally; `credible_engagers` counts those who respond,
    each weighted by how much established people vouch for them at the end of the horizon.
    """

    horizon_days: int = Field(default=28, ge=1, le=365, description="how far ahead the audience is counted, in days")
    label: Literal["engagers", "credible_engagers"] = Field(
        default="engagers",
        description="who counts: all who engage, or each as credible as they are at the horizon's end",
    )


class Credibility(_Section):
    """The users from which credibility flows, `seeds`; if it is empty, a rule chooses established ones."""

    seeds: tuple[str, ...] = Field(default=(), description="ids from whom credibility flows; none: chosen by a rule")

    @field_validator("seeds")
    @classmethod
    def _read_seeds(cls, seeds: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(parse_id, seeds))


class Panel(_Section):
    """The training panel: at most `cutoffs` cutoffs, one horizon apart, and the scopes that rows come from.

    With `rows`, users are sampled so that there are about so many rows, those with many engagements all of them.

    Scopes are `all`, which must be among them, `network:NAME`, `topic:NAME`, `network:*` and `topic:*`.
    """

    cutoffs: int = Field(default=12, ge=2, le=120, description="at most so many cutoffs, one horizon apart")
    rows: int = Field(default=0, ge=0, description="sample users to about so many rows; 0: all rows")
    scopes: tuple[str, ...] = Field(default=(ALL,), description="also network:NAME, topic:NAME, network:* and topic:*")

    @field_validator("scopes")
    @classmethod
    def _scopes_with_all(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        try:
            valid = validate_scopes(scopes)
        except ScopeError as error:
            raise ValueError(str(error)) from error
        if ALL not in valid:
            raise ValueError(f"the scope {ALL} must be among them")
        return valid


class Model(_Section):
    """The booster: `trees` of at most `depth` levels, each grown on a share of the rows and of the features.

    A leaf holds as much information as twice `min_users_per_leaf` average users, at least: a few with a large audience,
    or many with a small one. In the boosters of the bounded term and of intervals it holds `min_users_per_leaf`.
    `variance_power` is Tweedie's: the variance of the audience grows with its mean to that power (1 Poisson, 2 gamma).
    The weight of a row halves for every `half_life` horizons that it is older than the newest. `bound` limits what
    responses from anybody, established or not, add to the logarithm of the expected audience, or take from it: users
    who differ in nothing else differ by a factor of at most `exp(2 bound)`. With a larger one the score predicts
    better, and more of it is for sale; 0 leaves these responses out.
    """

    trees: int = Field(default=150, ge=1, le=10_000, description="how many trees")
    depth: int = Field(default=4, ge=1, le=12, description="levels of each tree, at most")
    learning_rate: float = Field(default=0.03, gt=0, le=1, description="what each tree adds")
    row_share: float = Field(default=0.5, gt=0, le=1, description="of the rows, drawn for each tree")
    feature_share: float = Field(default=0.6, gt=0, le=1, description="of the features, drawn for each tree")
    min_users_per_leaf: int = Field(default=50, ge=1, description="size of each leaf, at least")
    variance_power: float = Field(default=1.3, gt=1, lt=2, description="Tweedie: 1 is Poisson, 2 is gamma")
    half_life: float = Field(default=3.0, gt=0, description="horizons after which a row weighs half")
    bound: float = Field(default=0.1, ge=0, le=2, description="nats that responses from anybody may add or take")
    seed: int = Field(default=0, ge=0, description="the same seed gives the same model")


class Interval(_Section):
    """Prediction intervals that contain the audience of a share `level` of users."""

    level: float = Field(default=0.9, gt=0, lt=1, description="share of users whose audience the interval contains")


class Evaluation(_Section):
    """Out-of-time evaluation; the interval of each margin comes from `resamples` bootstrap samples of users."""

    resamples: int = Field(default=200, ge=20, le=10_000, description="bootstrap samples for each margin's interval")


class Forecast(_Section):
    """Limits of predictions compared with the realised audience."""

    total_low: float = Field(default=0.67, ge=0, le=1, description="expected over real audience, at least")
    total_high: float = Field(default=1.5, ge=1, description="expected over real audience, at most")
    coverage: float = Field(default=0.85, ge=0, le=1, description="share of users inside the interval, at least")


class Gate(Forecast):
    """Limits that a challenger must meet, out of time, to become the champion.

    The expected over the real audience lies between `total_low` and `total_high`; at least a share `coverage` of users
    has an audience inside the interval. With `attacks`, every attack of `clout attack` stays within its limit. At most
    a share `moved_share` of the users who acted in the last 365 days moves by more than `moved_points` from
    the champion; from month to month, honest models move 0 to 24 % of them that far.
    """

    attacks: bool = Field(default=True, description="apply the limits of clout attack, which takes a while")
    moved_points: float = Field(default=5.0, ge=0, le=100, description="a score that moves further has moved")
    moved_share: float = Field(
        default=0.25, ge=0, le=1, description="of the users who acted in the last 365 days that may move, at most"
    )


class Monitor(Forecast):
    """Limits; beyond them `clout monitor` raises an alarm.

    `feature_psi` and `score_psi` are population stability indices; the expected over the real audience lies between
    `total_low` and `total_high`; at least a share `coverage` of users has an audience inside the interval.
    """

    feature_psi: float = Field(default=0.25, gt=0, description="drift of each feature with at least 1 % of the gain")
    score_psi: float = Field(default=0.25, gt=0, description="drift of the score")


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
    ConfigError : the file is missing or not TOML, or a section, field or value is not valid; lists those that are

    """
    if path is None:
        return Config()
    try:
        return Config.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"no configuration at {path}; name a clout.toml, or omit --config for the defaults."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(map(_message, error.errors()))) from error


def _message(error: "ErrorDetails") -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{name} is {error['input']!r}: {error['msg']}"
    section, *field = error["loc"]
    valid = list(type(getattr(Config(), str(section))).model_fields if field else Config.model_fields)
    return f"{name} is not known{did_you_mean(str(error['loc'][-1]), valid)}. Known are {', '.join(valid)}"
