"""The catalogue: every feature Clout knows, and those of them that models see, in the order in which they do."""

from features import cadence, credible, network, originality, persistence, presence, reach, response
from features.feature import Catalogue

FAMILIES = (credible, presence, reach, response, persistence, network, cadence, originality)
CATALOGUE = Catalogue(feature for family in FAMILIES for feature in family.FEATURES)
SCORED = CATALOGUE.scored
