"""The catalogue: every feature Clout knows, and those of them that models see, in the order in which they do."""

from features.catalogue import cadence, credible, network, originality, persistence, reach, response, tenure
from features.catalogue.feature import Catalogue

FAMILIES = (credible, tenure, reach, response, persistence, network, cadence, originality)
CATALOGUE = Catalogue(feature for family in FAMILIES for feature in family.FEATURES)
SCORED = CATALOGUE.scored
