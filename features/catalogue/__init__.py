"""The catalogue: CATALOGUE holds every feature, SCORED those that models use, in the order of the model's inputs.

Each scored feature is one fact that one sentence tells, and no fact is scored twice. Models of earlier versions use
other features of the catalogue.
"""

from features.catalogue import cadence, credible, network, originality, persistence, reach, response, tenure
from features.catalogue.feature import Catalogue

FAMILIES = (credible, tenure, reach, response, persistence, network, cadence, originality)
CATALOGUE = Catalogue(feature for family in FAMILIES for feature in family.FEATURES)
SCORED = CATALOGUE.select(
    "credible_engagers_7d",
    "credible_engagers_decayed_28d",
    "credible_rate_365d",
    "credible_periods_168d",
    "credible_posts_90d",
    "days_since_established",
    "early_engagers",
    "days_absent",
    "tenure_days",
    "repetitions_90d",
)
