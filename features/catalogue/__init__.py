"""The catalogue: CATALOGUE holds every feature, INPUTS those that models use, in the order of the model's inputs.

Each of SCORED is one fact that one sentence tells, and no fact is scored twice. BOUNDED are about responses from
anybody, which can be bought, so what they add to a score is bounded. Models of earlier versions use other features.
"""

from features.catalogue import cadence, credible, network, originality, persistence, reach, response, responses, tenure
from features.catalogue.feature import Catalogue

FAMILIES = (credible, tenure, responses, reach, response, persistence, network, cadence, originality)
CATALOGUE = Catalogue(feature for family in FAMILIES for feature in family.FEATURES)
SCORED = CATALOGUE.select(
    "credible_engagers_decayed_28d",
    "responder_rate_365d",
    "responder_periods_168d",
    "credible_posts_90d",
    "days_of_silence",
    "days_of_absence",
    "tenure_days",
    "repetitions_beyond_10_90d",
)
BOUNDED = CATALOGUE.select(
    "early_responders",
    "responders_decayed_28d",
    "responders_365d",
    "response_periods_168d",
    "response_attention_365d",
    "days_since_last_response",
    "pieces_drawing_90d",
    "lasting_pieces_90d",
)
INPUTS = Catalogue([*SCORED, *BOUNDED])
